/** `tpa-submit serve`: the relay in the foreground. SIGTERM ends it, SIGHUP re-reads what can be re-read. */
import { command, flag, parseOptions, value } from "../cli/options.ts";
import { exitStatus } from "../failure.ts";
import { logBug } from "../server/log/log.ts";
import type { Relay } from "./serve/relay.ts";
import type { ServiceManager } from "./serve/systemd.ts";

export const serve = command({
  name: "serve",
  summary: "Take mail from people who log in, and deliver it. Runs in the foreground until SIGTERM.",
  options: {
    config: value("-c, --config <file>", "Configuration file.", "/etc/tpa-submit/tpa-submit.toml"),
    check: flag("--check", "Check the configuration and the files that it names, and end."),
  },
  arguments: {},
  examples: [
    "tpa-submit serve --config /etc/tpa-submit/tpa-submit.toml",
    "tpa-submit serve --config ./tpa-submit.toml",
  ],
});

/** Returns when the relay was told to stop and has stopped. */
export async function run(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(serve, argv);
  if (!chosen) return exitStatus.ok;
  const { config: file, check } = chosen.options;
  if (check) return (await import("./check/run.ts")).runAsServe(file);
  const stopped = signalled(); // before anything is read: what changes from now on is read again
  const { readConfig } = await import("../config/config-file.ts");
  const { dropPrivileges } = await import("./serve/privileges.ts");
  const { startRelay } = await import("./serve/relay.ts");
  const { listenAddresses, serviceManager } = await import("./serve/systemd.ts");
  const config = await readConfig(file);
  const places = listenAddresses(config.listen, process.env, process.pid);
  const source = { file, reread: () => readConfig(file) };
  const relay = await startRelay(config, await dropPrivileges(config, places), source);
  return stopped(await managed(relay, serviceManager(process.env, process.pid)));
}

/** The relay, whose service manager hears of all that happens to it. Resolves when that one knows it is ready. */
async function managed(relay: Relay, manager: ServiceManager): Promise<Relay> {
  const { reloadingLines } = await import("./serve/systemd.ts");
  await manager.notify("READY=1");
  return {
    ...relay,
    async reload() {
      await manager.notify(...reloadingLines());
      await relay.reload();
      await manager.notify("READY=1");
    },
    async stop() {
      const told = manager.notify("STOPPING=1");
      await relay.stop();
      manager.stop();
      await told;
    },
  };
}

/**
 * Listens to signals from now on; the function returned resolves with the exit status when the relay has stopped.
 * A fault that nobody caught leaves the process in a state that nobody knows: it ends in good order, and whoever
 * started it starts it anew. What is accepted is on disk.
 */
function signalled(): (relay: Relay) => Promise<number> {
  let status: number = exitStatus.ok;
  let enough = (): void => undefined;
  const told = new Promise<void>((resolve) => {
    enough = resolve;
  });
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      process.once(signal, () => process.exit(exitStatus.temporary)); // a second one: what is accepted is on disk
      enough();
    });
  }
  process.on("uncaughtException", (error) => {
    logBug("code outside any task", error);
    status = exitStatus.software;
    enough();
  });
  let early = false; // SIGHUP while starting: what was read may be old already
  let reload = (): void => {
    early = true;
  };
  process.on("SIGHUP", () => reload());
  return async (relay) => {
    let reloading = Promise.resolve();
    reload = () => {
      reloading = reloading.then(() => relay.reload()).catch((error: unknown) => logBug("reloading", error));
    };
    if (early) reload();
    void relay.broken.then(() => {
      status = exitStatus.ioError; // systemd starts it again, which opens the spool anew
      enough();
    });
    await told;
    await reloading;
    await relay.stop();
    return status;
  };
}
