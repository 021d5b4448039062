/** Which login a name means. */

/**
 * The login that a name stands for: lower case, without the domain. Undefined for a name of another domain and for
 * an empty one. Dovecot lowers names as well.
 */
export function canonicalLogin(name: string, domain: string): string | undefined {
  const at = name.lastIndexOf("@");
  if (at >= 0 && name.slice(at + 1).toLowerCase() !== domain.toLowerCase()) return undefined;
  const local = (at < 0 ? name : name.slice(0, at)).toLowerCase();
  return local === "" ? undefined : local;
}

/** The same for all names of one login, also for names of another domain. */
export function loginKey(name: string, domain: string): string {
  return canonicalLogin(name, domain) ?? name.toLowerCase();
}
