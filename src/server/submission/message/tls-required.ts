/**
 * `TLS-Required: No` (RFC 8689 section 3): whoever wrote the message would have it arrive in the clear, or from a host
 * that nobody can vouch for, rather than not at all.
 */
import { type Field, fieldBody, isNamed } from "../../../smtp/header.ts";

/** Whether these `fields` say so: once, and nothing else by that name. */
export function isTlsOptional(fields: readonly Field[]): boolean {
  const [field, ...others] = fields.filter((one) => isNamed(one, "TLS-Required"));
  return field !== undefined && others.length === 0 && /^no$/i.test(fieldBody(field).trim());
}
