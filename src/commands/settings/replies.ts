/** Our replies that a person may see, a row each: what it means to them and what to do. */

export interface ReplyRow {
  readonly code: string;
  /** A part of the text by which it is recognised; a test hears it from a running relay. */
  readonly text: string;
  readonly means: string;
}

export const replies = {
  "wrong-password": {
    code: "535 5.7.8",
    text: "Authentication failed: check your user name and your e-mail password",
    means:
      "The login or the e-mail password is wrong. The e-mail password is one of its own; one that was set just now works after a few minutes.",
  },
  "too-many-guesses": {
    code: "454 4.7.0",
    text: "Too many wrong passwords from your network",
    means:
      "Some device at your place keeps trying an old password. Correct it there and wait as long as the reply says.",
  },
  "no-check": {
    code: "454 4.7.0",
    text: "Passwords cannot be checked at the moment",
    means: "Nothing is wrong at your side: try again later.",
  },
  frozen: {
    code: "525 5.7.13",
    text: "This login is disabled",
    means: "The password is right, but the login was shut out: ask the people who run the server.",
  },
  "tls-first": {
    code: "530 5.7.0",
    text: "Must issue a STARTTLS command first",
    means: "The client sends without encryption: choose STARTTLS, or TLS on the port for it.",
  },
  "no-login": {
    code: "530 5.7.0",
    text: "Authentication required",
    means: "The client does not log in: turn authentication on and give login and password.",
  },
  "wrong-sender": {
    code: "550 5.7.1",
    text: "may not send as",
    means: "The sender address is not one of yours; the reply names those that are.",
  },
  quota: {
    code: "450 4.7.1",
    text: "If it was not you who sent so much, change your password",
    means:
      "A limit for an hour or a day is reached; the reply says when to try again. Not you? Change the e-mail password.",
  },
  "too-large": {
    code: "552 5.3.4",
    text: "The message is too large",
    means: "Make the attachments smaller, or share them by a link.",
  },
  recipients: {
    code: "452 4.5.3",
    text: "Enough recipients",
    means: "Send the message again, to the rest.",
  },
  connections: {
    code: "421 4.7.0",
    text: "Too many connections from your address",
    means: "Close other programs that send, and try again later.",
  },
  "no-room": {
    code: "452 4.3.1",
    text: "There is no room for the message now",
    means: "Nothing is wrong at your side: try again later, and tell the people who run the server.",
  },
  "unclear-author": {
    code: "554 5.6.0",
    text: "The From field cannot be understood",
    means:
      'Write the sender as the reply shows it, with the name in quotes: "Last, First" <you@example.org>.',
  },
  "line-ends": {
    code: "500 5.5.2",
    text: "Lines must end with CR LF",
    means: "A program of one's own ends lines with LF alone; use a library for mail.",
  },
} as const satisfies Readonly<Record<string, ReplyRow>>;

export type ReplyName = keyof typeof replies;
