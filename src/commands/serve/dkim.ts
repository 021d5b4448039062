/** The DKIM keys of the running relay: noticed when they change, and told of. */
import { keyPlaces } from "../../config/domains.ts";
import type { SigningKeyState } from "../../server/control/protocol.ts";
import { keyFolders, type SigningKeys } from "../../server/delivery/dkim/keys.ts";
import { watchFiles } from "./certificates.ts";
import type { ReloadableSettings } from "./settings-in-use.ts";

/** Milliseconds between two looks at the folders. Our choice: whoever rotates a key waits for it. */
const interval = 2_000;

/** Reads the keys anew whenever a file comes, goes or changes its name in a folder of them, until it is closed. */
export function watchKeys(settings: ReloadableSettings): { close(): Promise<void> } {
  const watch = watchFiles(
    async () => {
      const places = keyPlaces(settings.current().config);
      return (await Promise.all(places.map(({ folder }) => keyFolders(folder)))).flat();
    },
    () => settings.renewKeys(),
    () => ({ interval, regardless: false }),
  );
  return { close: async () => watch.stop() };
}

/** For `status` and the metrics. */
export const keyStates = (keys: SigningKeys): readonly SigningKeyState[] =>
  [...keys.values()].flat().map(({ domain, selector, kind, made }) => ({ domain, selector, kind, made }));
