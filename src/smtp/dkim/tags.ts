/** The lists of tags that DKIM's fields and records are written as (RFC 6376 section 3.2): `v=1; a=rsa-sha256; …`. */

/**
 * By name, without the white space: no value that is looked at may have any that counts. A name that stands twice has its
 * last value.
 */
export function tagsOf(text: string): ReadonlyMap<string, string> {
  const tags = text.split(";").map((tag) => tag.replace(/\s/g, ""));
  return new Map(tags.map((tag) => [tag.slice(0, tag.indexOf("=")), tag.slice(tag.indexOf("=") + 1)]));
}
