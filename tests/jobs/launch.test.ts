import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createRunner } from '../../src/drivers/run.ts';
import { type House, makeHouse, request, xen01 } from './house.ts';

/** Stands in for systemd-run(1): knows the options that are used, starts what comes behind `--`, and writes down the rest. */
const SYSTEMD_RUN = `#!/bin/sh
set -eu
folder=$(dirname "$0")
: >"$folder/options"
while [ "$1" != -- ]; do
  echo "$1" >>"$folder/options"
  case $1 in
    --quiet | --collect | --no-ask-password | --description=* | --slice=*.slice | --service-type=exec) ;;
    --property=KillMode=control-group | --property=TimeoutStopSec=*) ;;
    --property=StandardOutput=append:* | --property=StandardError=append:*) output=\${1##*append:} ;;
    --property=OOMPolicy=kill | --property=LimitCORE=0 | --property=TasksMax=* | --property=IPAddressDeny=any) ;;
    --property=NoNewPrivileges=yes | --property=P[a-z]*[A-Z][A-Za-z]*=yes | --property=LockPersonality=yes) ;;
    --property=Restrict*=* | --property=CapabilityBoundingSet=~* | --property=SystemCall*=*) ;;
    --unit=*) ;;
    --setenv=*) export "\${1#--setenv=}" ;;
    *) echo "systemd-run: unrecognized option '$1'" >&2; exit 1 ;;
  esac
  shift
done
shift
if [ -e "$folder/broken" ]; then
  echo "Failed to start transient service unit: Connection refused" >&2
  exit 1
fi
exec setsid --fork -- "$@" >>"$output" 2>&1
`;

let house: House;
let bin: string;
beforeEach(() => {
  house = makeHouse();
  bin = join(house.base, 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, 'systemd-run'), SYSTEMD_RUN);
  chmodSync(join(bin, 'systemd-run'), 0o755);
});
afterEach(() => house.clean());

function withSystemd() {
  const program_path = `${bin}:${process.env['PATH']}`;
  return house.again({
    job_runner: 'systemd',
    program_path,
    runner: createRunner({ path: program_path }),
  });
}

test('under systemd a job is a transient unit in the slice of jobs', async () => {
  const jobs = withSystemd();
  const job = await jobs.start('reinstall', xen01, request('quick'));
  expect(await house.ended(jobs)).toMatchObject({ state: 'succeeded', message: 'it was said' });
  const options = readFileSync(join(bin, 'options'), 'utf8').split('\n');
  expect(options).toContain(`--unit=dtc-xen-job-${job.id}`);
  expect(options).toContain('--slice=dtc-xen-jobs.slice');
  expect(options).toContain(`--setenv=DTC_XEN_JOB=${job.id}`);
  expect(options).toContain(`--setenv=PATH=${bin}:${process.env['PATH']}`);
});

test.each([
  ['reinstall', ['TasksMax=1024'], ['IPAddressDeny=any', 'PrivateTmp=yes']],
  [
    'fsck',
    ['TasksMax=128', 'IPAddressDeny=any', 'RestrictAddressFamilies=AF_UNIX AF_NETLINK', 'ProtectSystem=yes'],
    [],
  ],
] as const)('the unit of a %s has limits of its own', async (kind, denied, open) => {
  const jobs = withSystemd();
  await jobs.start(kind, xen01, request('quick') as never);
  await house.ended(jobs);
  const options = readFileSync(join(bin, 'options'), 'utf8').split('\n');
  for (const property of [
    'OOMPolicy=kill',
    'NoNewPrivileges=yes',
    'RestrictNamespaces=mnt pid uts ipc net',
    ...denied,
  ])
    expect(options).toContain(`--property=${property}`);
  for (const property of open) expect(options).not.toContain(`--property=${property}`);
});

test('a unit that systemd refuses is told with what systemd said', async () => {
  writeFileSync(join(bin, 'broken'), '');
  await expect(withSystemd().start('reinstall', xen01, request('quick'))).rejects.toMatchObject({
    code: 'program_failed',
    message:
      'The reinstall of xen01 did not start (Failed to start transient service unit: Connection refused); nothing was touched.',
  });
});

test('auto is systemd where that is process 1, and a detached process elsewhere', async () => {
  const systemd = readFileSync('/proc/1/comm', 'utf8').trim() === 'systemd';
  const program_path = `${bin}:${process.env['PATH']}`;
  const jobs = house.again({
    job_runner: 'auto',
    program_path,
    runner: createRunner({ path: program_path }),
  });
  await jobs.start('reinstall', xen01, request('quick'));
  await house.ended(jobs);
  const asked = () => readFileSync(join(bin, 'options'), 'utf8');
  if (systemd) expect(asked()).toContain('--unit=');
  else expect(asked).toThrow('ENOENT');
});
