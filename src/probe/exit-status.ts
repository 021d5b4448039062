/** The probe's exit statuses: swaks' numbers, one row each. man/tpa-submit-probe.1 lists them. */

/** Status -> what it means. */
export const exitStatuses = {
  ok: [0, "Everything that was to be done was done."],
  options: [1, "An option, a file or the configuration is wrong, or the output could not be written."],
  connect: [2, "The connection could not be made."],
  lost: [6, "The connection was closed unexpectedly."],
  missing: [
    10,
    "Something needed is not there: a mechanism of AUTH that the probe knows, a kind of address.",
  ],
  banner: [21, "The greeting was an error, or did not come."],
  hello: [22, "EHLO, HELO or LHLO was refused."],
  mail: [23, "MAIL was refused."],
  rcpt: [24, "No recipient was accepted."],
  data: [25, "DATA was refused, or BDAT is not offered."],
  message: [26, "The message was refused behind its end."],
  auth: [28, "Logging in failed, or was not offered."],
  tls: [29, "TLS failed, or was not offered."],
  prdr: [30, "PRDR is not offered."],
  helloAfterTls: [32, "EHLO was refused behind STARTTLS."],
  xclient: [33, "XCLIENT was refused, or not offered."],
  helloAfterXclient: [34, "EHLO was refused behind XCLIENT."],
  proxy: [35, "An option about the PROXY header is wrong."],
  spam: [40, "The message arrived in the spam folder."],
  late: [41, "The message arrived later than it should."],
  lostMail: [42, "The message was sent, and did not arrive."],
  returned: [43, "The message was returned to the sender."],
  unseen: [44, "The mailbox cannot be looked at."],
} as const satisfies Readonly<Record<string, readonly [number, string]>>;

export type ExitReason = keyof typeof exitStatuses;

export const statusOf = (outcome: ExitReason): number => exitStatuses[outcome][0];
