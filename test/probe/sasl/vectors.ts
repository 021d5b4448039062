/** Exchanges from the RFCs and from swaks' documented suite: what is said by whom, as data. */

export interface Vector {
  readonly name: string;
  readonly mechanism: string;
  readonly user: string;
  readonly password: string;
  readonly extra?: Readonly<Record<string, string>>;
  readonly host?: string;
  readonly binding?: Uint8Array;
  /** What chance gives, in base64. */
  readonly random?: string;
  /** The initial response, if there is one. */
  readonly initial?: string;
  /** Challenge and answer in turns; no answer ends the exchange. */
  readonly turns: readonly (readonly [challenge: string, answer: string | RegExp | undefined])[];
  /** How the words above are written: as they are, or in base64. */
  readonly written?: "base64";
  /** What keeps it from being a success. */
  readonly objection?: RegExp;
}

const scramUser = { user: "user", password: "pencil" };

/** The nonces of RFC 5802 section 5 and RFC 7677 section 3 as random octets. */
const sha1Nonce = "fyko+d2lbbFgONRv9qkxdawL";
const sha256Nonce = "rOprNGfwEbeRWgbNEkqO";

const server1 = `r=${sha1Nonce}3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096`;

const chris = { user: "chris", password: "secret", host: "elwood.innosoft.com" };

export const vectors: readonly Vector[] = [
  {
    name: "RFC 4616 section 4, without an authorization identity",
    mechanism: "PLAIN",
    user: "tim",
    password: "tanstaaftanstaaf",
    initial: "\0tim\0tanstaaftanstaaf",
    turns: [["", undefined]],
  },
  {
    name: "two questions",
    mechanism: "LOGIN",
    user: "tim",
    password: "tanstaaftanstaaf",
    turns: [
      ["Username:", "tim"],
      ["Password:", "tanstaaftanstaaf"],
      ["Favourite colour:", undefined],
    ],
  },
  {
    name: "one question",
    mechanism: "LOGIN-INITIAL",
    user: "tim",
    password: "tanstaaftanstaaf",
    initial: "tim",
    turns: [
      ["Password:", "tanstaaftanstaaf"],
      ["Favourite colour:", undefined],
    ],
  },
  {
    name: "RFC 2195 section 2",
    mechanism: "CRAM-MD5",
    user: "tim",
    password: "tanstaaftanstaaf",
    turns: [
      ["<1896.697170952@postoffice.reston.mci.net>", "tim b913a602c7eda7a495b4e6e7334d3890"],
      ["<again>", undefined],
    ],
  },
  {
    name: "as Exim computes it",
    mechanism: "CRAM-SHA1",
    user: "validuser",
    password: "validpassword",
    turns: [["<2646.1607473261@node.example.com>", "validuser b0c645984dcddaf230c0bc7304e505e0385ec509"]],
  },
  {
    name: "RFC 2831 section 4, with the service smtp",
    mechanism: "DIGEST-MD5",
    ...chris,
    random: "AQIDBAUGBwgJCgsMDQ4PEA==",
    turns: [
      [
        'realm="elwood.innosoft.com",nonce="OA6MG9tEQGm2hh",qop="auth",algorithm=md5-sess,charset=utf-8',
        'charset=utf-8,cnonce="0102030405060708090a0b0c0d0e0f10",digest-uri="smtp/elwood.innosoft.com",nc=00000001,' +
          'nonce="OA6MG9tEQGm2hh",qop=auth,realm="elwood.innosoft.com",' +
          'response=280df85e479033e7d4382b4157000dbf,username="chris"',
      ],
      ["rspauth=8ed65039c30a893898cd64fd22e3baed", ""],
      ["more", undefined],
    ],
  },
  {
    name: "a server that does not know the password",
    mechanism: "DIGEST-MD5",
    ...chris,
    turns: [
      ['nonce="OA6MG9tEQGm2hh"', /username="chris"$/],
      ["rspauth=00000000000000000000000000000000", undefined],
    ],
    objection: /rspauth/,
  },
  {
    name: "what --auth-extra says, quotes and several realms",
    mechanism: "DIGEST-MD5",
    user: 'ch"ris\\',
    password: "secret",
    extra: {
      realm: "b",
      "dmd5-serv-type": "lmtp",
      "dmd5-host": "mail.example.com",
      "dmd5-serv-name": "example.com",
    },
    turns: [
      [
        'realm="a",realm="b",nonce="x,\\"y",qop="auth,auth-int"',
        /^cnonce=.*,digest-uri="lmtp\/mail.example.com\/example.com",.*nonce="x,\\"y",.*realm="b",.*username="ch\\"ris\\\\"$/,
      ],
    ],
    objection: /has not proved/,
  },
  {
    name: "a server that wants integrity",
    mechanism: "DIGEST-MD5",
    ...chris,
    turns: [['nonce="x",qop="auth-int",algorithm=md5-sess', undefined]],
    objection: /wants a layer of protection \(qop auth-int\)/,
  },
  {
    name: "a challenge that is none",
    mechanism: "DIGEST-MD5",
    ...chris,
    turns: [["hello", undefined]],
    objection: /no nonce/,
  },
  {
    name: "version 1, as swaks sends it",
    mechanism: "NTLM",
    user: "validuser",
    password: "validpassword",
    written: "base64",
    turns: [
      ["", "TlRMTVNTUAABAAAAB6IAAAAAAAAAAAAAAAAAAAAAAAA="],
      [
        "TlRMTVNTUAACAAAAAAAAAAAoAAABggAAbco4uro6HnYAAAAAAAAAAAAAAAAAAAAA",
        "TlRMTVNTUAADAAAAGAAYAEAAAAAYABgAWAAAAAAAAAAwAAAAEgASAHAAAAASABIAggAAAAAAAABUAAAAAYIAAF04y7oOxMnniToro6WZVuz8" +
          "Bc24XZ+nsDstHGUVU8b9U5zbT/L3SSnejSWJflzS2HYAYQBsAGkAZAB1AHMAZQByAHYAYQBsAGkAZAB1AHMAZQByAA==",
      ],
      ["", undefined],
    ],
  },
  {
    name: "a challenge that is none",
    mechanism: "NTLM",
    user: "validuser",
    password: "validpassword",
    written: "base64",
    turns: [
      ["", "TlRMTVNTUAABAAAAB6IAAAAAAAAAAAAAAAAAAAAAAAA="],
      ["AAAA", undefined],
    ],
    objection: /none of NTLM/,
  },
  {
    name: "RFC 5802 section 5",
    mechanism: "SCRAM-SHA-1",
    ...scramUser,
    random: sha1Nonce,
    initial: `n,,n=user,r=${sha1Nonce}`,
    turns: [
      [server1, `c=biws,r=${sha1Nonce}3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=`],
      ["v=rmF9pqV8S7suAoZWja4dJRkFsKQ=", ""],
      ["more", undefined],
    ],
  },
  {
    name: "the same, with marks that cannot be seen (RFC 4013)",
    mechanism: "SCRAM-SHA-1",
    user: "u\u00adser",
    password: "pen\u200bc\u24d8l",
    random: sha1Nonce,
    initial: `n,,n=user,r=${sha1Nonce}`,
    turns: [[server1, `c=biws,r=${sha1Nonce}3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=`]],
    objection: /not proved/,
  },
  {
    name: "RFC 7677 section 3",
    mechanism: "SCRAM-SHA-256",
    ...scramUser,
    random: sha256Nonce,
    initial: `n,,n=user,r=${sha256Nonce}`,
    turns: [
      [
        `r=${sha256Nonce}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`,
        `c=biws,r=${sha256Nonce}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=`,
      ],
      ["v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", ""],
    ],
  },
  {
    name: "a server without the password",
    mechanism: "SCRAM-SHA-1",
    ...scramUser,
    random: sha1Nonce,
    initial: `n,,n=user,r=${sha1Nonce}`,
    turns: [
      [server1, /^c=biws/],
      ["v=AAAAAAAAAAAAAAAAAAAAAAAAAAA=", undefined],
    ],
    objection: /does not know the password/,
  },
  {
    name: "a server that says yes before it has proved itself",
    mechanism: "SCRAM-SHA-1",
    ...scramUser,
    random: sha1Nonce,
    initial: `n,,n=user,r=${sha1Nonce}`,
    turns: [[server1, /^c=biws/]],
    objection: /has not proved/,
  },
  {
    name: "a server that begins with another nonce",
    mechanism: "SCRAM-SHA-1",
    ...scramUser,
    random: sha1Nonce,
    initial: `n,,n=user,r=${sha1Nonce}`,
    turns: [["r=other,s=QSXCR+Q6sek8bf92,i=4096", undefined]],
    objection: /nonce/,
  },
  {
    name: "a server that asks for few rounds",
    mechanism: "SCRAM-SHA-1",
    ...scramUser,
    random: sha1Nonce,
    initial: `n,,n=user,r=${sha1Nonce}`,
    turns: [[`r=${sha1Nonce}x,s=QSXCR+Q6sek8bf92,i=1`, undefined]],
    objection: /1 rounds, fewer than 4096/,
  },
  {
    name: "a server that says why not",
    mechanism: "SCRAM-SHA-1",
    ...scramUser,
    random: sha1Nonce,
    initial: `n,,n=user,r=${sha1Nonce}`,
    turns: [["e=unknown-user", undefined]],
    objection: /unknown-user/,
  },
  {
    name: "commas and equals signs in a name",
    mechanism: "SCRAM-SHA-512",
    user: "a,b=c",
    password: "pencil",
    random: sha1Nonce,
    initial: `n,,n=a=2Cb=3Dc,r=${sha1Nonce}`,
    turns: [],
    objection: /has not proved/,
  },
  {
    name: "bound to the channel",
    mechanism: "SCRAM-SHA-256-PLUS",
    ...scramUser,
    binding: Buffer.from("octets of TLS"),
    random: sha1Nonce,
    initial: `p=tls-exporter,,n=user,r=${sha1Nonce}`,
    turns: [[server1, /^c=cD10bHMtZXhwb3J0ZXIsLG9jdGV0cyBvZiBUTFM=,r=/]],
    objection: /has not proved/,
  },
  {
    name: "RFC 7628 section 4.1, without host and port",
    mechanism: "OAUTHBEARER",
    user: "user@example.com",
    password: "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==",
    initial: "n,a=user@example.com,\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01",
    turns: [
      ['{"status":"invalid_token","scope":"example_scope"}', "\x01"],
      ["more", undefined],
    ],
    objection: /refuses the token: invalid_token, scope wanted: example_scope/,
  },
  {
    name: "Google's example",
    mechanism: "XOAUTH2",
    user: "someuser@example.com",
    password: "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg",
    initial: "user=someuser@example.com\x01auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\x01\x01",
    turns: [['{"status":"401"}', ""]],
    objection: /refuses the token: 401/,
  },
  {
    name: "RFC 4422 appendix A.2",
    mechanism: "EXTERNAL",
    user: "fred@example.com",
    password: "",
    initial: "fred@example.com",
    turns: [["", undefined]],
  },
];
