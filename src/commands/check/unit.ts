/**
 * The systemd unit of the service, as its files say: who runs it, and what its sandbox lets it see and write. Read from
 * the files, so that it works where no systemd runs (a package being installed, a container). systemd.exec(5).
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { errorCode } from "../../failure.ts";
import { standardConfig, standardUnit } from "./options.ts";

export interface ServiceUnit {
  readonly path: string;
  /** "" where it says nothing, which is root. */
  readonly user: string;
  readonly group: string;
  readonly supplementaryGroups: readonly string[];
  /** The configuration that it starts the relay with; "" where it does not say. */
  readonly config: string;
  readonly hasSockets: boolean;
  /** Whether it lets its user bind ports below 1024. */
  readonly mayBindPorts: boolean;
  readonly sandbox: Sandbox;
  /** Descriptors; undefined where it does not say. */
  readonly descriptors: number | undefined;
  /** Folders without which systemd does not even start it. */
  readonly neededFolders: readonly string[];
}

export interface Sandbox {
  readonly protectSystem: "no" | "yes" | "full" | "strict";
  readonly protectHome: boolean;
  readonly privateTmp: boolean;
  /** Folders in which it may write all the same, its own state included. */
  readonly writable: readonly string[];
  readonly readOnly: readonly string[];
  readonly hidden: readonly string[];
}

/** Where units are, the first wins. systemd.unit(5). */
const unitFolders: readonly string[] = [
  "/etc/systemd/system",
  "/run/systemd/system",
  "/usr/local/lib/systemd/system",
  "/usr/lib/systemd/system",
  "/lib/systemd/system",
];

/** The unit `name`, or the file of that path, with its drop-ins; undefined where there is none. */
export async function findUnit(name: string): Promise<ServiceUnit | undefined> {
  const isPath = name.includes("/");
  const folders = isPath ? [""] : unitFolders;
  for (const folder of folders) {
    const path = isPath ? name : join(folder, name);
    const text = await textOf(path);
    if (text === undefined) continue;
    const dropIns = isPath ? [`${name}.d`] : unitFolders.map((one) => join(one, `${name}.d`));
    return readUnit(path, [text, ...(await dropInsOf(dropIns))]);
  }
  return undefined;
}

/** The service's own unit, if it starts the relay with the configuration `file`. */
export async function unitOf(file: string): Promise<ServiceUnit | undefined> {
  const unit = await findUnit(standardUnit);
  return unit?.config === file || (unit?.config === "" && file === standardConfig) ? unit : undefined;
}

/** In the order of their names; of two with the same name the first folder's counts. */
async function dropInsOf(folders: readonly string[]): Promise<readonly string[]> {
  const paths = new Map<string, string>();
  for (const folder of folders) {
    for (const name of await namesIn(folder)) {
      if (name.endsWith(".conf") && !paths.has(name)) paths.set(name, join(folder, name));
    }
  }
  const texts: string[] = [];
  for (const [, path] of [...paths].sort(([one], [other]) => (one < other ? -1 : 1))) {
    texts.push((await textOf(path)) ?? "");
  }
  return texts;
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return [];
  }
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return undefined;
  }
}

/** What the file's `texts` say together, drop-ins behind the unit. */
export function readUnit(path: string, texts: readonly string[]): ServiceUnit {
  const values = valuesIn(texts);
  const last = (key: string): string => values.get(key)?.at(-1) ?? "";
  const words = (key: string): readonly string[] =>
    (values.get(key) ?? []).flatMap((text) => text.split(/\s+/)).filter((word) => word !== "");
  const paths = (key: string): readonly string[] => words(key).map((word) => word.replace(/^[-+]+/, ""));
  const isOn = (key: string): boolean => /^(?:1|yes|true|on)$/i.test(last(key));
  const own = ownFolders.flatMap(([key, folder]) => words(key).map((name) => join(folder, name)));
  const descriptors = Number(last("LimitNOFILE").split(":")[0]);
  return {
    path,
    user: last("User"),
    group: last("Group"),
    supplementaryGroups: words("SupplementaryGroups"),
    config: /\s(?:--config|-c)[= ]\s*(\S+)/.exec(last("ExecStart"))?.[1] ?? "",
    hasSockets: words("Sockets").length > 0,
    mayBindPorts: words("AmbientCapabilities").includes("CAP_NET_BIND_SERVICE"),
    descriptors: descriptors > 0 ? descriptors : undefined,
    neededFolders: words("ReadWritePaths").filter((word) => word.startsWith("/")),
    sandbox: {
      protectSystem: protectionOf(last("ProtectSystem")),
      protectHome: last("ProtectHome") !== "" && !/^(?:0|no|false|off)$/i.test(last("ProtectHome")),
      privateTmp: isOn("PrivateTmp") || last("PrivateTmp") === "disconnected",
      writable: [...paths("ReadWritePaths"), ...own],
      readOnly: paths("ReadOnlyPaths"),
      hidden: paths("InaccessiblePaths"),
    },
  };
}

/** Folders that systemd makes for the service, and lets it write. */
const ownFolders = [
  ["StateDirectory", "/var/lib"],
  ["CacheDirectory", "/var/cache"],
  ["LogsDirectory", "/var/log"],
  ["RuntimeDirectory", "/run"],
  ["ConfigurationDirectory", "/etc"],
] as const;

function protectionOf(text: string): Sandbox["protectSystem"] {
  if (text === "strict" || text === "full") return text;
  return /^(?:1|yes|true|on)$/i.test(text) ? "yes" : "no";
}

/** The settings of [Service], each with its texts in order; an empty one takes back what stood before (systemd.syntax(7)). */
function valuesIn(texts: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const values = new Map<string, string[]>();
  for (const text of texts) {
    let section = "";
    for (const line of text.replace(/\\\n/g, " ").split("\n")) {
      const heading = /^\[(.*)\]\s*$/.exec(line)?.[1];
      section = heading ?? section;
      const at = line.indexOf("=");
      if (section !== "Service" || at < 0 || /^\s*[#;]/.test(line)) continue;
      const [key, value] = [line.slice(0, at).trim(), line.slice(at + 1).trim()];
      if (value === "") values.delete(key);
      else values.set(key, [...(values.get(key) ?? []), value]);
    }
  }
  return values;
}

/** Which setting of the sandbox makes `path` read-only; undefined where none does. */
export function readOnlyBy(sandbox: Sandbox, path: string): string | undefined {
  const hidden = hiddenBy(sandbox, path);
  if (hidden !== undefined) return hidden;
  const allowed = longest(sandbox.writable, path);
  if (longest(sandbox.readOnly, path) > allowed) return "ReadOnlyPaths=";
  if (allowed > 0) return undefined;
  const { protectSystem } = sandbox;
  const shut = {
    no: [],
    yes: ["/usr", "/boot", "/efi"],
    full: ["/usr", "/boot", "/efi", "/etc"],
    strict: ["/"],
  };
  const free = protectSystem === "strict" ? ["/dev", "/proc", "/sys"] : [];
  if (longest(shut[protectSystem], path) === 0 || longest(free, path) > 0) return undefined;
  if (sandbox.privateTmp && longest(temporary, path) > 0) return undefined;
  return `ProtectSystem=${protectSystem}`;
}

/** Which setting of the sandbox hides `path`; undefined where none does. */
export function hiddenBy(
  { protectHome, privateTmp, hidden, writable }: Sandbox,
  path: string,
): string | undefined {
  if (longest(hidden, path) > 0) return "InaccessiblePaths=";
  const isOwn = longest(writable, path) > 0;
  if (protectHome && !isOwn && longest(["/home", "/root", "/run/user"], path) > 0) return "ProtectHome=";
  if (privateTmp && longest(temporary, path) > 0) return "PrivateTmp=";
  return undefined;
}

const temporary: readonly string[] = ["/tmp", "/var/tmp"];

/** Length of the longest of `folders` that `path` is, or is in; 0 where it is in none. */
function longest(folders: readonly string[], path: string): number {
  const around = folders.filter(
    (one) => path === one || path.startsWith(one.endsWith("/") ? one : `${one}/`),
  );
  return Math.max(0, ...around.map(({ length }) => length));
}
