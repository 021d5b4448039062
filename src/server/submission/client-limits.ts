/**
 * The limits of clients that are no settings: timeouts, sizes and counts; and the deadline of a session. Sizes and counts
 * that a site may want to change are settings.
 */

export interface ClientTimeouts {
  /** For the header in which a proxy names its client, in milliseconds. */
  readonly proxy: number;
  /** From the connection to the login, in milliseconds. */
  readonly login: number;
  /** From one command to the next before the login while more than half of all connections are in use, in milliseconds. */
  readonly stressed: number;
  /** For one whole command, however slowly its octets come, in milliseconds. */
  readonly command: number;
  /** Octets a second below which a message is too slow. A slow period as long as `command` is allowed. */
  readonly rate: number;
  /** Pause before the answer to the first wrong password, in milliseconds; the second takes twice as long. */
  readonly wrongPassword: number;
}

export const standardTimeouts: ClientTimeouts = {
  proxy: 3_000, // our choice; a proxy sends it together with the first packet
  login: 3 * 60_000, // Dovecot's choice, which ends a login that takes longer
  stressed: 10_000, // Postfix's choice, smtpd_timeout under stress
  command: 5 * 60_000, // RFC 5321 section 4.5.3.2.7: 5 minutes at least
  rate: 500, // Postfix's choice, smtpd_min_data_rate
  wrongPassword: 1_000, // our choice; Dovecot's auth_failure_delay is 2 seconds each time
};

/** Octets of the header in which a proxy names its client. Our choice; a proxy may rely on 536. */
export const proxyHeader = 2_048;

/** Connections beyond the limit that still get a reply. Further ones are closed without one. Our choice. */
export const turnedAway = 100;

/** RFC 4954 section 9 wants three tries at least. */
export const wrongPasswords = 3;

/** Postfix's choice, smtpd_hard_error_limit: refused commands without a message between them. */
export const errors = 20;

/** Postfix's choice, smtpd_recipient_overshoot_limit: recipients beyond the limit that do not count as errors. */
export const recipientOvershoot = 1_000;

/** Octets of a command line. Postfix's choice, line_length_limit; RFC 3461 section 5.4 wants 1036. */
export const commandLine = 2_048;

/** RFC 4954 section 4: octets of a line of AUTH. */
export const authLine = 12_288;

/** Octets of a line that is too long, of which we only look for the end. Then the connection ends. Our choice. */
export const swallowedLine = 65_536;

/** Octets of a message's header, which is held in memory. Our choice, ten times Postfix's header_size_limit. */
export const header = 1_048_576;

/** Octets of a refused message that are still read and dropped. Our choice. */
export const swallowedMessage = 16 * 1_048_576;

/** Octets of a message up to which it is held in memory until it is whole. Our choice: a header must be held in any case. */
export const keptMessage = 1_048_576;

/** RFC 5321 section 6.3: Received fields that show a loop. */
export const hops = 100;

/**
 * The new deadline after `octets` of a message, in milliseconds: they give time at the lowest rate allowed, but never more
 * than the time of a command. Postfix counts in the same way.
 */
export function extendedDue(
  due: number,
  now: number,
  octets: number,
  { command, rate }: ClientTimeouts,
): number {
  return Math.min(now + command, due + (octets / rate) * 1_000);
}

/** How long the server waits for a client. Octets that come do not move the deadline, except those of a message. */
export interface Deadline {
  readonly isSet: boolean;
  /** Sets the deadline, in milliseconds since the epoch. */
  set(due: number): void;
  /** Octets of a message came. */
  extend(octets: number): void;
  clear(): void;
  /** No later call sets a deadline. */
  end(): void;
}

export interface DeadlineOptions {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Milliseconds of a clock that never goes back. */
  readonly steady: () => number;
  readonly timeouts: ClientTimeouts;
  /** Called when a deadline passes. */
  readonly expired: () => void;
}

/**
 * A timer looks at the deadline when it may have passed, and is set anew only where it would look too late: a session that
 * is busy sets one every few minutes, not for each command and message.
 */
export function newDeadline({ now, steady, timeouts, expired }: DeadlineOptions): Deadline {
  let timer: NodeJS.Timeout | undefined;
  /** When the timer looks, by the steady clock, and after how long a wait. */
  let looksAt = Number.POSITIVE_INFINITY;
  let longestWait = 0;
  let due = Number.POSITIVE_INFINITY;
  let isSet = false;
  let over = false;

  function look(): void {
    timer = undefined;
    looksAt = Number.POSITIVE_INFINITY;
    if (!isSet) return;
    if (due > now()) lookWhenDue();
    else {
      isSet = false;
      expired();
    }
  }

  function lookWhenDue(): void {
    const wait = Math.max(0, due - now());
    if (over || (timer && wait >= longestWait)) return; // the timer looks sooner, whenever it was set
    const at = steady() + wait;
    if (at >= looksAt) return;
    clearTimeout(timer);
    looksAt = at;
    longestWait = wait;
    timer = setTimeout(look, wait);
  }

  return {
    get isSet() {
      return isSet && !over;
    },
    set(next) {
      due = next;
      isSet = true;
      lookWhenDue();
    },
    extend(octets) {
      due = extendedDue(due, now(), octets, timeouts);
    },
    clear() {
      isSet = false;
    },
    end() {
      over = true;
      clearTimeout(timer);
    },
  };
}
