// xl block-list, network-list.
import { getopt, XlError } from './getopt.mjs';
import { err, out, withState } from './store.mjs';
import { findDomain } from './xl.mjs';

const connected = (domain) => domain.idle_from_ms !== null;
const columns = (...pairs) => pairs.map(([value, width]) => String(value).padEnd(width)).join(' ');

export async function block_list(root, args) {
  const { operands } = getopt('block-list', args, { operands: 1 });
  return withState(root, (state) => {
    out('Vdev  BE  handle state evt-ch ring-ref BE-path                       \n');
    for (const name of operands) {
      let domain;
      try {
        domain = findDomain(state, name);
      } catch (error) {
        if (!(error instanceof XlError)) throw error;
        err(`${name} is an invalid domain identifier\n`);
        continue;
      }
      (domain.disks ?? []).forEach((disk, index) => {
        const up = connected(domain);
        const path = `/local/domain/0/backend/${disk.backend}/${domain.id}/${disk.vdev_number}`;
        const ring = up ? [8 + 3 * index, 8 + 516 * index] : [-1, -1];
        out(
          `${columns([disk.vdev_number, 5], [0, 3], [domain.id, 6], [up ? 4 : 1, 5], [ring[0], 6], [ring[1], 8], [path, 30])}\n`,
        );
      });
    }
    return 0;
  });
}

export async function network_list(root, args) {
  const { operands } = getopt('network-list', args, { operands: 1 });
  return withState(root, (state) => {
    out('Idx BE Mac Addr.         handle state evt-ch   tx-/rx-ring-ref BE-path                       \n');
    let exit = 0;
    for (const name of operands) {
      let domain;
      try {
        domain = findDomain(state, name);
      } catch (error) {
        if (!(error instanceof XlError)) throw error;
        err(error.message);
        exit = 1;
        continue;
      }
      (domain.nics ?? []).forEach((nic, devid) => {
        const up = connected(domain);
        const ring = up ? [String(521 + 514 * devid), String(522 + 514 * devid)] : ['-1', '-1'];
        const path = `/local/domain/0/backend/vif/${domain.id}/${devid}`;
        const place = `${columns([devid, 3], [0, 2], [nic.mac, 17])}${[devid, up ? 4 : 1].map((each) => String(each).padStart(6)).join('')}`;
        out(`${place} ${'-1'.padStart(6)} ${ring[0].padStart(5)}/${columns([ring[1], 11], [path, 30])}\n`);
      });
    }
    return exit;
  });
}
