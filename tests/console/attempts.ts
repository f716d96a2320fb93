// What a customer may try over ssh, sftp and sudo, as commands that root runs on the node: the same on a node with a fake Xen
// and on a real one.

/** How a command ended, and what it printed. */
export interface Answer {
  readonly code: number;
  readonly said: string;
}

/** Where commands are run: with sshd on port 22 and the console users xen01 and xen02. */
export interface Node {
  /** Folder on the node of the private keys `root`, `xen01` and `xen02`. */
  readonly keys: string;
  /** Runs a shell command as root on the node. */
  run(command: string, input?: string): Promise<Answer>;
}

const OPTIONS =
  '-o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=10';

/** The beginning of an ssh command as a user of the node; the name goes last. */
export const ssh = (node: Node, user: string, options = '') =>
  `timeout 15 ssh ${OPTIONS} -i ${node.keys}/${user} ${options} ${user}@127.0.0.1`;

/** The command of an sftp session as a user, who says what to do on its standard input. */
export const sftpCommand = (node: Node, user: string) =>
  `timeout 15 sftp -q ${OPTIONS} -i ${node.keys}/${user} -b - ${user}@127.0.0.1`;

/** An sftp session as a user; the lines are its commands. */
export const sftp = (node: Node, user: string, lines: readonly string[]): Promise<Answer> =>
  node.run(sftpCommand(node, user), `${lines.join('\n')}\n`);

/** A way to make sshd carry something else than a session. */
export interface Forwarding {
  readonly name: string;
  /** Prints FORWARDED where it was carried. */
  command(node: Node, user: string): string;
}

/** Holds a session, and looks meanwhile whether something came of it: long for the admin, for whom something must. */
const during = (node: Node, user: string, options: string, look: string) =>
  `${ssh(node, user, options)} < <(exec sleep ${user === 'root' ? 10 : 2} 2>/dev/null) >/dev/null 2>&1 & s=$!
   for i in $(seq ${user === 'root' ? 100 : 20}); do
     sleep 0.1
     if ${look}; then echo FORWARDED; break; fi
     kill -0 $s 2>/dev/null || break
   done
   kill $s 2>/dev/null; wait $s 2>/dev/null; true`;
const tcp = (port: number, talk: string) =>
  `timeout 1 bash -c 'exec 3<>/dev/tcp/127.0.0.1/${port} && { ${talk}; }' 2>/dev/null`;
/** Whether sshd's greeting comes through a port of the node. */
const greets = (port: number) => tcp(port, 'read -r -t 1 a <&3; [[ $a == SSH-2.0-* ]]');
const SOCKS = String.raw`printf "\5\1\0\5\1\0\1\177\0\0\1\0\26" >&3; head -c 40 <&3 | grep -aq SSH-2.0`;

/** Each is carried for the admin, and must not be for a console user. */
export const FORWARDINGS: readonly Forwarding[] = [
  {
    name: 'a port of the client (-L)',
    command: (node, user) => during(node, user, '-N -L 7001:127.0.0.1:22', greets(7001)),
  },
  {
    name: 'a port of the node (-R)',
    command: (node, user) => during(node, user, '-N -R 7002:127.0.0.1:22', greets(7002)),
  },
  {
    name: 'a proxy (-D)',
    command: (node, user) => during(node, user, '-N -D 7003', tcp(7003, SOCKS)),
  },
  {
    name: 'standard input (-W)',
    command: (node, user) =>
      `${ssh(node, user, '-W 127.0.0.1:22')} </dev/null | grep -q SSH-2.0 && echo FORWARDED`,
  },
  {
    name: 'a Unix socket of the node (-L)',
    command: (
      node,
      user,
    ) => `rm -f /tmp/l.sock /tmp/admin.sock; eval "$(ssh-agent -a /tmp/admin.sock)" >/dev/null
      ${during(
        node,
        user,
        '-N -L /tmp/l.sock:/tmp/admin.sock',
        "SSH_AUTH_SOCK=/tmp/l.sock ssh-add -l 2>&1 | grep -q 'has no identities'",
      )}
      ssh-agent -k >/dev/null`,
  },
  {
    name: 'a Unix socket on the node (-R)',
    command: (node, user) =>
      `rm -f /tmp/r.sock; ${during(node, user, '-N -R /tmp/r.sock:127.0.0.1:22', 'test -S /tmp/r.sock')}`,
  },
  {
    name: "the client's keys (-A)",
    command: (node, user) => `rm -f /tmp/keys.sock; eval "$(ssh-agent -a /tmp/keys.sock)" >/dev/null
      ${during(node, user, '-tt -A', `find /tmp -path '/tmp/ssh-*/agent.*' -user ${user} | grep -q .`)}
      ssh-agent -k >/dev/null`,
  },
  {
    name: "the client's screen (-X)",
    command: (node, user) =>
      `[ -e /usr/bin/xauth ] || { printf '#!/bin/sh\n' >/usr/bin/xauth; chmod 755 /usr/bin/xauth; }
       while ${tcp(6010, 'true')}; do sleep 0.1; done
       export DISPLAY=127.0.0.1:9; ${during(node, user, '-tt -Y', tcp(6010, 'true'))}`,
  },
  {
    name: 'in a session that is there already (~C)',
    command: (node, user) =>
      during(
        node,
        user,
        '-tt -M -S /tmp/master.sock',
        `ssh -S /tmp/master.sock -O forward -R 7005:127.0.0.1:22 x >/dev/null 2>&1; ${greets(7005)}`,
      ),
  },
];

/** What `ssh host COMMAND` is refused with. */
export const REFUSED = /Only the console of your VPS is here/;

/** Commands over ssh that must come to nothing. */
export const COMMANDS: readonly string[] = [
  'id',
  '/bin/sh -i',
  "bash -c 'id'",
  '$(id)',
  '; id',
  '-c id',
  'dtc-xen_userconsole -c id',
  '/usr/lib/openssh/sftp-server;id',
  '/usr/lib/openssh/sftp-server/../../../bin/id',
  'internal-sftp;id',
  'sudo -n /usr/sbin/xl list',
  'rsync --server . .',
  'scp -t .',
];

/** Commands of sudo that a console user (here xen01, had they a shell) must be refused. */
export const SUDO_COMMANDS: readonly string[] = [
  '/usr/sbin/xl console xen02',
  '/usr/sbin/xl console xen01',
  '/usr/sbin/xl list',
  'xl console xen02',
  '/usr/lib/dtc-xen-agent/console/attach xen02',
  '/usr/lib/dtc-xen-agent/console/attach --help',
  '/usr/lib/dtc-xen-agent/console/files inside xen02 0 0 /',
  '/usr/lib/dtc-xen-agent/console/../console/attach xen02',
  '/usr/lib/dtc-xen-agent/console/caller',
  'SUDO_UID=0 /usr/lib/dtc-xen-agent/console/attach',
  'LD_PRELOAD=/tmp/evil.so /usr/lib/dtc-xen-agent/console/attach',
  '-E LD_PRELOAD=/tmp/evil.so /usr/lib/dtc-xen-agent/console/attach',
  '-u xen02 /usr/lib/dtc-xen-agent/console/attach',
  '-g root /usr/lib/dtc-xen-agent/console/attach',
  '-s',
  '-i',
  '-u xen02 -s',
  'sh -c id',
  'id',
  '-e /etc/passwd',
];

/** A shell command that runs another as a console user with a shell, in a terminal or not. */
export const asUser = (user: string, command: string) =>
  `setpriv --reuid=${user} --regid=xenusers --init-groups --inh-caps=-all env -i PATH=/usr/bin:/bin USER=${user} ${command}`;
