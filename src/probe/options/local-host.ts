/** This host's name with its domain, as gethostbyname(3) would find it in /etc/hosts. */

/** `name` itself where it has a dot or `hosts` does not know more. */
export function fullName(name: string, hosts: string): string {
  if (name.includes(".")) return name;
  for (const line of hosts.split("\n")) {
    const [, first, ...others] = line.replace(/#.*/, "").trim().split(/\s+/);
    if (first !== undefined && others.includes(name)) return first;
  }
  return name;
}
