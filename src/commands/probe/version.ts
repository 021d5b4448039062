/** What `probe --version` says. */
import { version } from "../../version.ts";

/** The swaks whose options, texts and statuses these are. */
export const swaks = "20240103.0";

export const versionText = `tpa-submit probe ${version}, with the options of swaks ${swaks}`;
