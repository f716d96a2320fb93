// The fake systemctl: `show --property=... xendomains.service`. Properties come in systemd's order; no job is an empty one.
import { NotKnown, out, withState } from './store.mjs';

const UNIT = 'xendomains.service';
const PROPERTIES = {
  Id: () => UNIT,
  LoadState: ({ load_state }) => load_state,
  ActiveState: ({ active_state }) => active_state,
  SubState: ({ sub_state }) => sub_state,
  UnitFileState: ({ unit_file_state }) => unit_file_state,
  Job: ({ job }) => (job === 0 ? '' : String(job)),
};

export async function main(root, _program, [command, ...args]) {
  const at = args.indexOf('--');
  const [options, after] = at < 0 ? [args, []] : [args.slice(0, at), args.slice(at + 1)];
  const wanted = options.filter((arg) => arg.startsWith('--property='));
  const units = [...options.filter((arg) => !wanted.includes(arg)), ...after];
  const names = wanted.flatMap((arg) => arg.slice('--property='.length).split(','));
  const unknown = names.find((name) => !Object.hasOwn(PROPERTIES, name));
  if (command !== 'show' || names.length === 0 || unknown !== undefined || units.join() !== UNIT) {
    throw new NotKnown(
      `systemctl, but for show --property=${Object.keys(PROPERTIES).join(',')} ${UNIT}, is not part of the fake`,
    );
  }
  return withState(root, ({ xendomains }) => {
    for (const [name, value] of Object.entries(PROPERTIES))
      if (names.includes(name)) out(`${name}=${value(xendomains)}\n`);
    return 0;
  });
}
