/** What the options may look at outside of the program; src/commands wires it to the host. */
import type { Circumstances } from "../message/message.ts";
import type { Person } from "./answers.ts";
import type { Called } from "./command-line.ts";
import type { LocalNames } from "./protocol.ts";
import type { Given } from "./sources.ts";
import type { Files } from "./tls.ts";

/** Everything outside that options may look at. */
export interface World extends Given, Files {
  readonly person: Person;
  readonly names: LocalNames;
  readonly called: Called;
  /** "tpa-submit 1.0.0": what --version prints. */
  readonly version: string;
  readonly circumstances: Circumstances;
  /** Somebody looks at standard error. */
  readonly terminal: boolean;
  /** Empties a file, or makes it. Throws as node:fs does. */
  readonly create: (path: string) => void;
  /** The text of /etc/services. */
  readonly services: () => string;
  /** The text of the user's .netrc; undefined where there is none. */
  readonly netrc: () => string | undefined;
  /** The host that takes mail for a domain. */
  readonly route: (domain: string) => Promise<string>;
}
