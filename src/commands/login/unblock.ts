/** `tpa-submit login unblock`: lets somebody try again who has typed too many wrong passwords. */
import { isIP } from "node:net";
import { argument, command, parseOptions } from "../../cli/options.ts";
import { visible } from "../../cli/output.ts";
import { exitStatus, Failure } from "../../failure.ts";
import { version } from "../../version.ts";
import { config, loginOf } from "../queue/options.ts";
import { plural, say } from "../queue/output.ts";

export const unblockCommand = command({
  name: "login unblock",
  summary:
    "Forget the wrong passwords of a login, or from an address, so that passwords are checked again at once.",
  options: { config },
  arguments: {
    what: argument("<what>", "A login, or the IP address of a client; of IPv6 its /64 is meant."),
  },
  examples: ["tpa-submit login unblock user1", "tpa-submit login unblock 192.0.2.7"],
});

export async function run(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(unblockCommand, argv);
  if (!chosen) return exitStatus.ok;
  const { what } = chosen.arguments;
  const { readConfig } = await import("../../config/config-file.ts");
  const { connectControlApi } = await import("../../server/control/client.ts");
  const { currentOperator } = await import("../queue/connection.ts");
  const { controlSocket } = await import("../serve/places.ts");
  const configuration = await readConfig(chosen.options.config);
  const relay = await connectControlApi(controlSocket(configuration), version);
  if (relay === undefined) {
    throw new Failure(
      exitStatus.unavailable,
      "no relay runs here, so nothing is blocked: a start forgets wrong passwords",
    );
  }
  const isAddress = isIP(what) !== 0 || what === "onion"; // the clients of an onion service
  const login = isAddress ? "" : loginOf(what, configuration.domain);
  for await (const { lifted } of relay({
    verb: "unblock",
    login,
    address: isAddress ? what : "",
    by: currentOperator(),
  })) {
    const name = visible(isAddress ? what : login);
    say(
      lifted === 0
        ? `${name} was not blocked; its wrong passwords are forgotten`
        : `${name}: ${plural(lifted, "block")} ended; passwords are checked again`,
    );
  }
  return exitStatus.ok;
}
