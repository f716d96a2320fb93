// Usage: node ssh.mjs LINE.json ARGUMENT...: an ssh that takes exactly the arguments which dtc-xen_migrate is to give it, and runs
// the receiving end of the host that LINE.json knows. Something may happen to the line, at a byte of what is sent:
// { hosts: { NAME: [PROGRAM, ARGUMENT...] }, trouble: { flip | cut | kill: BYTE or TEXT, signal: 'SIGTERM' } | { say: TEXT } }.
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

const OPTIONS = [
  '-T',
  ...['BatchMode=yes', 'ConnectTimeout=20', 'ServerAliveInterval=15', 'ServerAliveCountMax=4'].flatMap(
    (o) => ['-o', o],
  ),
  ...['ClearAllForwardings=yes', 'ControlPath=none'].flatMap((o) => ['-o', o]),
  '--',
];

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(255);
}

const [line_file, ...args] = process.argv.slice(2);
const { hosts, trouble = {} } = JSON.parse(readFileSync(line_file, 'utf8'));
const [host, program, option, vps, ...more] = args.slice(OPTIONS.length);
if (OPTIONS.some((word, i) => args[i] !== word)) fail(`ssh: these are not its options: ${args.join(' ')}`);
if (
  program !== '/usr/sbin/dtc-xen_migrate' ||
  option !== '--receive' ||
  !/^xen[0-9]{1,5}$/.test(vps) ||
  more.length > 0
)
  fail(`ssh: this is not the command: ${args.join(' ')}`);
if (!Object.hasOwn(hosts, host)) fail(`ssh: Could not resolve hostname ${host}: Name or service not known`);
if (trouble.say) process.stdout.write(trouble.say);

const [file, ...words] = hosts[host];
const receiver = spawn(file, [...words, option, vps], { stdio: ['pipe', 'inherit', 'inherit'] });
receiver.stdin.on('error', (error) => {
  if (error.code !== 'EPIPE') throw error;
});
receiver.on('exit', (code) => process.exit(code ?? 255));

let seen = 0;
let over = false;
/** Where in this chunk the trouble comes; -1: not in it. */
function place(trouble_at, chunk) {
  if (trouble_at === undefined) return -1;
  if (typeof trouble_at === 'string') return chunk.indexOf(trouble_at);
  return trouble_at >= seen && trouble_at < seen + chunk.length ? trouble_at - seen : -1;
}
process.stdin.on('data', (chunk) => {
  if (over) return;
  const { signal = 'SIGKILL' } = trouble;
  const [flip, cut, kill] = [trouble.flip, trouble.cut, trouble.kill].map((at) => place(at, chunk));
  if (flip >= 0) chunk[flip] ^= 1;
  if (cut >= 0) {
    over = true;
    receiver.stdin.write(chunk.subarray(0, cut));
    receiver.stdin.end();
    receiver.removeAllListeners('exit');
    receiver.on('exit', () => fail('Connection to the host was reset by peer'));
  } else if (kill >= 0) {
    over = true;
    receiver.stdin.write(chunk.subarray(0, kill), () => setTimeout(() => receiver.kill(signal), 300));
  } else if (!receiver.stdin.write(chunk)) {
    process.stdin.pause();
    receiver.stdin.once('drain', () => process.stdin.resume());
  }
  seen += chunk.length;
  writeFileSync(`${line_file}.sent`, `${seen}`);
});
process.stdin.on('end', () => receiver.stdin.end());
