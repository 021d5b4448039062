/** How the database is reached, as the configuration has it. */
import { readFile } from "node:fs/promises";
import { errorText, exitStatus, Failure } from "../failure.ts";
import { parseStoreUrl, type StoreUrl } from "../store-url.ts";
import type { WordsAs } from "./as-user.ts";

/** Of [spool]. */
export interface StoreSettings {
  /** `postgresql://…`. */
  readonly store: string;
  /** Files; "" for none. */
  readonly "store-password-file": string;
  readonly "store-ca": string;
  readonly "store-certificate": string;
  readonly "store-key": string;
}

export interface StoreAccess extends StoreUrl {
  /** Read for each connection, so that a new password needs no restart. Throws a Failure. */
  readonly password: () => Promise<string>;
  /** PEM. */
  readonly ca?: string;
  readonly certificate?: string;
  readonly key?: string;
  /**
   * What runs words as the service's user, where this process is root's: as whom a server may know us by a Unix socket, where it
   * does not know root. Undefined where there is none.
   */
  readonly asService?: () => Promise<WordsAs | undefined>;
}

/** Throws a Failure of one line where the URL or a file cannot be used. */
export async function storeAccess(settings: StoreSettings): Promise<StoreAccess> {
  const url = parseStoreUrl(settings.store);
  if (typeof url === "string") throw new Failure(exitStatus.config, `store of [spool]: ${url}`);
  const [ca, certificate, key] = await Promise.all([
    read(settings["store-ca"], "store-ca"),
    read(settings["store-certificate"], "store-certificate"),
    read(settings["store-key"], "store-key"),
  ]);
  return {
    ...url,
    ...(ca !== undefined && { ca }),
    ...(certificate !== undefined && { certificate }),
    ...(key !== undefined && { key }),
    async password() {
      const text = await read(settings["store-password-file"], "store-password-file");
      if (text === undefined) {
        throw new Failure(
          exitStatus.config,
          "the database asks for a password; name a file that has it in store-password-file of [spool]",
        );
      }
      const [password = ""] = text.split(/\r?\n/);
      if (password !== "") return password;
      throw new Failure(
        exitStatus.config,
        `${settings["store-password-file"]}: expected the password on its first line, found nothing there`,
      );
    },
  };
}

async function read(file: string, setting: string): Promise<string | undefined> {
  if (file === "") return undefined;
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new Failure(
      exitStatus.config,
      `${file}: cannot be read (${errorText(error)}); ${setting} of [spool] names it`,
    );
  }
}
