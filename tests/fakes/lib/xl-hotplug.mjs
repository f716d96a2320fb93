// The scripts of disk lines with `script=/...`, run as libxl runs them: all of a domain's at once, each with its time.
import { spawn } from 'node:child_process';
import { NotKnown, withState } from './store.mjs';
import { inheritedFiles } from './xl-process.mjs';

const WHY = { ENOENT: 'No such file or directory', EACCES: 'Permission denied' };
/** What a shell's `exit` makes of the -1 with which libxl ends a child that cannot be run. */
const NOT_RUN = 255;

export const libxl = (place, text) => `libxl: error: ${place}: ${text}\n`;
/** Whether a disk has a script of somebody's own; Xen's `block` is built in. */
export const hasScript = (disk) => disk.script?.startsWith('/') === true;

const path = (id, disk) => `backend/vbd/${id}/${disk.vdev_number}`;

/** Runs one script to its end. Returns `{ pid, code, signal, late, error }`. */
function runToEnd(script, action, environment, limit_ms) {
  return new Promise((done, failed) => {
    const child = spawn(script, [action], {
      env: { ...process.env, ...environment },
      stdio: ['ignore', 2, 2, ...inheritedFiles()],
    });
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, limit_ms);
    child.once('error', (error) => {
      clearTimeout(timer);
      if (error.code in WHY) done({ pid: process.pid, code: NOT_RUN, late: false, error: WHY[error.code] });
      else failed(error);
    });
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      done({ pid: child.pid, code, signal, late });
    });
  });
}

/** Runs a disk's script. Returns what is said of it, its own child first: nothing where it went well. */
async function runScript(root, id, disk, action, limit_ms) {
  const what = `${disk.script} ${action}`;
  const environment = {
    PATH: `${root}/bin:${process.env.PATH}`,
    script: disk.script,
    XENBUS_TYPE: 'vbd',
    XENBUS_PATH: path(id, disk),
    XENBUS_BASE_PATH: 'backend',
  };
  const end = await runToEnd(disk.script, action, environment, limit_ms);
  if (end.late) {
    const late = `killing execution of ${what} because of timeout`;
    return { first: '', after: libxl('libxl_aoutils.c:539:async_exec_timeout', late) };
  }
  if (end.code === 0) return { first: '', after: '' };
  const how = end.signal ? `died due to fatal signal ${end.signal}` : `exited with error status ${end.code}`;
  const said = await withState(root, (state) => {
    const domain = state.domains.find((each) => each.id === id);
    return domain?.disks.find((each) => each.vdev === disk.vdev)?.store?.['hotplug-error'];
  });
  return {
    first: end.error ? `libxl: cannot execute ${disk.script}: ${end.error}\n` : '',
    after:
      libxl('libxl_exec.c:117:libxl_report_child_exitstatus', `${what} [${end.pid}] ${how}`) +
      (said ? libxl('libxl_device.c:1351:device_hotplug_child_death_cb', `script: ${said}`) : ''),
  };
}

/** Runs the scripts of a domain's disks. Returns what libxl says of those that failed. */
export async function runScripts(root, domain, action, limit_ms) {
  const disks = domain.disks.filter(hasScript);
  const said = await Promise.all(disks.map((disk) => runScript(root, domain.id, disk, action, limit_ms)));
  // They are added at the same time, and removed so far apart that each has its say.
  const together = (key) => said.map((each) => each[key]).join('');
  return action === 'add'
    ? together('first') + together('after')
    : said.map(({ first, after }) => first + after).join('');
}

/** Makes sure that each script has named the device that blkback is to use. */
export function requireDevices(domain) {
  const without = domain.disks.find((disk) => hasScript(disk) && !disk.store?.['physical-device']);
  if (!without) return;
  throw new NotKnown(
    `what becomes of a guest whose ${without.script} has written no physical-device (${without.vdev}) is not part of the fake`,
  );
}
