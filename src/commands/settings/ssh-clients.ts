/** Programs that send by an SSH key, without a password: tpa-submit-ssh(8) has the other side. */
import type { MailClient, Service } from "./client.ts";

/** What ssh logs in to. */
const target = ({ host, sshAccount }: Service): string => `${sshAccount}@${host}`;

/** msmtp knows no "~" here. */
const socket = ({ login }: Service): string => `/home/${login}/.submission`;

const gitconfig = (service: Service): string => `[sendemail]
	from = ${service.address}
	sendmailCmd = ssh ${target(service)} sendmail
`;

const muttrc = (service: Service): string => `set from = "${service.address}"
set use_from = yes
set use_envelope_from = yes
set sendmail = "ssh ${target(service)} sendmail -oem -oi"
`;

const msmtprc = (service: Service): string => `account ${service.domain}
host ${service.host}
socket ${socket(service)}
tls off
auth off
from ${service.address}

account default : ${service.domain}
`;

/** A recipient at a time: the status of one must not be taken for that of all. */
const mainCf = `default_transport = submission-ssh
submission-ssh_destination_recipient_limit = 1
`;

const masterCf = (service: Service): string => `submission-ssh unix - n n - - pipe
  flags=q user=submission argv=/usr/bin/ssh ${target(service)} sendmail -i -f \${sender} -- \${recipient}
`;

export const sshClients: readonly MailClient[] = [
  {
    id: "ssh",
    also: ["openssh", "sendmailcmd"],
    name: "With an SSH key: git, mutt, msmtp, swaks, Postfix",
    systems: "Linux, BSD, macOS, Windows with OpenSSH",
    steps: (service) => [
      "Add your public key where your other keys are kept: the directory of your account, not this server.",
      `Try it: "ssh ${target(service)} smtp" greets you as a mail server does; QUIT ends it.`,
      "For git, mutt or Postfix: the lines below. No password is kept anywhere.",
      `For msmtp, and what else speaks SMTP to a socket: leave "socat UNIX-LISTEN:${socket(service)},fork,mode=600 EXEC:'ssh ${target(service)} smtp'" running, and take the lines for msmtp.`,
      `swaks -f ${service.address} -t ${service.address} --pipe "ssh ${target(service)} smtp"`,
    ],
    files: (service) => [
      { name: "~/.gitconfig", text: gitconfig(service) },
      { name: "~/.muttrc", text: muttrc(service) },
      { name: "~/.msmtprc", text: msmtprc(service) },
      { name: "/etc/postfix/main.cf", text: mainCf },
      { name: "/etc/postfix/master.cf", text: masterCf(service) },
    ],
    pitfalls: [
      "The key's login must own the sender's address, as with a password.",
      "A key that asks for its passphrase wants an agent where nobody sits: for Postfix, a key of its own in the home of the user that master.cf names, and ssh's known_hosts there.",
      "msmtp wants the whole path of the socket; where your home is another, write that in both places.",
      "Options of a key in the directory other than from= and expiry-time= may make it one for something else, which is not taken.",
      "Postfix takes the exit status: 75 keeps the message and tries again, others send it back.",
    ],
    errors: [
      {
        says: "Permission denied (publickey)",
        means: "The server does not know the key, yet or any more; a new one takes some seconds.",
        replies: [],
      },
      {
        says: 'only "smtp" and "sendmail OPTIONS RECIPIENTS" are offered here, or exit status 77',
        means: "Something else was asked for than to send mail, or the relay refused the message.",
        replies: ["wrong-sender", "frozen", "quota"],
      },
    ],
  },
];
