// xl's processes, as /proc shows them: one that runs, and the one that `xl create` leaves for the guest's whole life.
import { execFileSync, spawn } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

const PROGRAM = '/usr/lib/xen-4.20/bin/xl';
const DAEMON = new URL('./xl-daemon.mjs', import.meta.url).pathname;
const KEPT_LOGS = 10;
/** Beyond what a kernel gives: none of these is ever a process of the machine's own. */
const FIRST_PID = 4_200_000;

/** When a process began, as the kernel counts; undefined where there is none, or only its exit code is left. */
export function startOf(pid) {
  let text;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes(error.code)) return undefined;
    throw error;
  }
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return ['Z', 'X'].includes(fields[0]) ? undefined : fields[19];
}

/** Makes a sign of life, which is there for as long as a process has the returned descriptor: a pipe that somebody can read. */
export function makeSign(path) {
  rmSync(path, { force: true });
  mkdirSync(dirname(path), { recursive: true });
  execFileSync('/usr/bin/mkfifo', [path]);
  return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
}

/** Whether somebody has it: also where the process is in another PID namespace, as a job's programs are. */
export function hasSign(path) {
  try {
    closeSync(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK));
    return true;
  } catch (error) {
    if (['ENXIO', 'ENOENT'].includes(error.code)) return false;
    throw error;
  }
}

const sign = (root, pid) => join(root, 'state/xl', String(pid));

/**
 * Notes a process of xl's, under a number of the fake's own. `real` has its real one, and when it began; `log` is the file in xl's
 * folder of logs that it holds open.
 */
function addXl(state, pid, real_pid, args, log) {
  state.xls[pid] = { pid, real_pid, started: startOf(real_pid), args, log };
}

function newPid(state) {
  state.next_pid = (state.next_pid ?? FIRST_PID) + 1;
  return state.next_pid;
}

/** Forgets a process, and its sign. */
export function dropXl(root, state, pid) {
  delete state.xls[pid];
  rmSync(sign(root, pid), { force: true });
}

/** Forgets the processes that have been killed. */
export function dropDead(root, state) {
  for (const pid of Object.keys(state.xls)) if (!hasSign(sign(root, pid))) dropXl(root, state, pid);
}

/** Notes this process itself. Returns its number. */
export function addOwn(root, state, args) {
  const pid = newPid(state);
  makeSign(sign(root, pid));
  addXl(state, pid, process.pid, args, null);
  return pid;
}

function show(root, { pid, started, args, log }) {
  const fresh = join(root, 'proc', `.${pid}.new`);
  mkdirSync(join(fresh, 'fd'), { recursive: true });
  writeFileSync(join(fresh, 'comm'), 'xl\n');
  writeFileSync(join(fresh, 'cmdline'), [PROGRAM, ...args].map((each) => `${each}\0`).join(''));
  writeFileSync(
    join(fresh, 'stat'),
    `${pid} (xl) S 1 ${pid} ${pid} 0 -1 1077936192 ${'0 '.repeat(12)}${started}\n`,
  );
  symlinkSync('/dev/null', join(fresh, 'fd/0'));
  const output = log === null ? '/dev/null' : join(root, 'log/xen', log);
  for (const fd of [1, 2, 3]) symlinkSync(output, join(fresh, 'fd', String(fd)));
  const place = join(root, 'proc', String(pid));
  rmSync(place, { recursive: true, force: true });
  renameSync(fresh, place);
}

/** Brings ROOT/proc in step with the processes that are noted. */
export function showProcesses(root, state) {
  const record = join(root, 'state/shown-xl.json');
  const wanted = JSON.stringify(state.xls);
  const text = existsSync(record) ? readFileSync(record, 'utf8') : '{}';
  if (text === wanted) return;
  const shown = JSON.parse(text);
  for (const pid of Object.keys(shown))
    if (!(pid in state.xls)) rmSync(join(root, 'proc', pid), { recursive: true, force: true });
  for (const [pid, xl] of Object.entries(state.xls))
    if (JSON.stringify(shown[pid]) !== JSON.stringify(xl)) show(root, xl);
  writeFileSync(record, wanted);
}

/** Renames a guest's logs, xl-NAME.log to xl-NAME.log.1 and so on. Processes that hold one open hold it on. */
function rotate(root, state, log) {
  const folder = join(root, 'log/xen');
  mkdirSync(folder, { recursive: true });
  const there = new Set(readdirSync(folder));
  const name = (index) => (index === 0 ? log : `${log}.${index}`);
  if (!there.has(log)) return;
  for (let index = KEPT_LOGS - 1; index >= 0; index -= 1) {
    if (!there.has(name(index))) continue;
    renameSync(join(folder, name(index)), join(folder, name(index + 1)));
    for (const xl of Object.values(state.xls)) if (xl.log === name(index)) xl.log = name(index + 1);
  }
}

/** The files that this process was started with: what xl runs and leaves has them, too, since xl closes none. */
export function inheritedFiles() {
  const open = readdirSync('/proc/self/fd').map(Number);
  return open.filter((fd) => {
    if (fd < 3) return false;
    try {
      return fstatSync(fd).isFile();
    } catch (error) {
      if (error.code === 'EBADF') return false; // the listing's own
      throw error;
    }
  });
}

/** Leaves the process that stands for a guest that has just been made, in a session of its own. */
export function leaveProcess(root, state, domain, args) {
  const log = `xl-${domain.name}.log`;
  const inherited = inheritedFiles();
  rotate(root, state, log);
  const output = openSync(join(root, 'log/xen', log), 'a');
  const pid = newPid(state);
  const life = makeSign(sign(root, pid));
  const child = spawn(process.execPath, [DAEMON, root, String(domain.id), String(pid)], {
    cwd: '/',
    detached: true,
    env: { ...process.env, FAKE_XEN_DIR: root },
    stdio: ['ignore', output, output, life, ...inherited],
  });
  if (child.pid === undefined) throw new Error('the process that xl leaves cannot be started');
  child.unref();
  closeSync(life);
  addXl(state, pid, child.pid, args, log);
  domain.xl = pid;
  writeFileSync(output, waitingLine(domain, pid));
}

export const waitingLine = ({ name, id }, pid) =>
  `Waiting for domain ${name} (domid ${id}) to die [pid ${pid}]\n`;
