/**
 * Says which Node.js is needed where this one is too old, and ends; package.json tells the least version. Before
 * anything is installed or built: what older ones say of newer syntax tells nobody what to do. Written for old ones.
 */
import { readFileSync } from "node:fs";

const { engines } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
const least = engines.node.replace(">=", "");
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
const [leastMajor = 0, leastMinor = 0] = least.split(".").map(Number);
if (major < leastMajor || (major === leastMajor && minor < leastMinor)) {
  process.stderr.write(`tpa-submit: needs Node.js ${least} or newer, this is v${process.versions.node}\n`);
  process.exit(69);
}
