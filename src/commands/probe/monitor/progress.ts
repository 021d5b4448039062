/** What a person at a terminal sees while mail is on its way: a spinner, and each route's name once it is known how it stands. */

import { startSpinner } from "../../../cli/terminal.ts";
import type { Result } from "../../../probe/result.ts";

export interface Progress {
  readonly told: (result: Result) => void;
  readonly end: () => void;
}

export function showProgress(routes: number): Progress {
  let known = 0;
  const words = (): string => `waiting for mail: ${known} of ${routes} routes`;
  const spinner = startSpinner(words());
  return {
    told() {
      known++;
      spinner.say(words());
    },
    end: () => spinner.stop(),
  };
}
