/**
 * All that src/server/submission touches of smtp-server and that is no promise of it: overridden, called or read.
 * test/server/submission/library.test.ts guards each row: the methods by a digest of their source, so that a new version
 * that changes one fails there; the fields by being there; and the list by what the sources of this folder name.
 */

export type Inside = readonly [
  of: "SMTPConnection" | "SMTPServer" | "SMTPStream",
  name: string,
  use: "overridden" | "called" | "read",
  /** What we take for granted: of a method what it does, of a field what it holds. */
  assumption: string,
];

export const insides: readonly Inside[] = [
  ["SMTPConnection", "init", "overridden", "only sets listeners and leads to the greeting"],
  ["SMTPConnection", "_createParser", "overridden", "makes the parser, in the constructor and again for TLS"],
  ["SMTPStream", "_write", "overridden", "is all that reads a client's octets"],
  ["SMTPConnection", "_armTimeout", "overridden", "only arms the idle timeout"],
  ["SMTPConnection", "_onError", "overridden", "hears of socket errors and failed handshakes"],
  [
    "SMTPServer",
    "_handleProxy",
    "overridden",
    "is called once for every socket, its options reach connect()",
  ],
  ["SMTPServer", "_expectsProxyHeader", "overridden", "tells _acceptSocket() to guard a socket"],
  ["SMTPServer", "_resolveSNI", "overridden", "finds the context of a name, or the first one"],
  ["SMTPServer", "connect", "overridden", "makes the connection and calls init()"],
  ["SMTPConnection", "_setListeners", "called", "pipes the socket into the parser, then calls back"],
  ["SMTPConnection", "_onCloseEvent", "called", "leads to _onClose()"],
  ["SMTPConnection", "_onClose", "called", "sets _closed, destroys an unfinished _dataStream"],
  ["SMTPConnection", "close", "called", "ends the socket, stops the parser, destroys what stays half open"],
  [
    "SMTPConnection",
    "upgrade",
    "called",
    "retires the parser, resumes on _socket inside TLS, sets _upgrading meanwhile",
  ],
  ["SMTPStream", "_flushData", "called", "does nothing where _remainder is empty"],
  ["SMTPServer", "_acceptSocket", "called", "guards a socket until connect()"],
  ["SMTPServer", "_upgrade", "called", "calls back once, with a TLS socket or an error that has meta"],
  ["SMTPServer", "_onError", "called", "emits the error"],
  ["SMTPServer", "_normalizeHostname", "called", "gives names one form, as updateSecureContext() does"],
  ["SMTPServer", "updateSecureContext", "called", "makes new contexts out of the options"],
  ["SMTPConnection", "_socket", "read", "the client's socket, inside TLS from the handshake on"],
  ["SMTPConnection", "_parser", "read", "what the socket is piped into; false once the connection is closed"],
  ["SMTPConnection", "_upgrading", "read", "a handshake after STARTTLS is going on"],
  ["SMTPConnection", "_closed", "read", "the connection is over, and _onClose() has been here"],
  ["SMTPServer", "_pendingSockets", "read", "sockets that have no connection yet, and the TLS above each"],
];
