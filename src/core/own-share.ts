import type { OperationContext } from './context.ts';
import { AgentError } from './errors.ts';
import type { VpsId } from './vps.ts';
import { readSettings, valuesOf } from './xl-config.ts';

/** What a VPS takes of the node, as an order has it. */
export interface Share {
  readonly memory_mb: number;
  readonly addresses: readonly string[];
}

/** What a configuration gives its guest; undefined where it does not say so in a way that can be read. */
function shareOf(text: string): Share | undefined {
  try {
    const all = readSettings(text);
    const memory = valuesOf(all, 'memory').at(-1)?.text ?? '';
    const addresses = valuesOf(all, 'vif')
      .flatMap((vif) => vif.text.split(','))
      .map((item) => item.trim())
      .filter((item) => item.startsWith('ip='))
      .flatMap((item) => item.slice('ip='.length).trim().split(' '))
      .filter((address) => address !== '');
    return /^[0-9]{1,9}$/.test(memory) ? { memory_mb: Number(memory), addresses } : undefined;
  } catch (error) {
    if (error instanceof AgentError) return undefined;
    throw error;
  }
}

const tell = ({ memory_mb, addresses }: Share) =>
  `${memory_mb} MB and ${addresses.join(' ') || 'no address'}`;

const isSame = (one: Share, other: Share) =>
  one.memory_mb === other.memory_mb &&
  new Set([...one.addresses, ...other.addresses]).size === new Set(one.addresses).size &&
  new Set(one.addresses).size === new Set(other.addresses).size;

/**
 * Makes sure that a VPS's owner asks for the memory and the addresses which its configuration gives it, and no others: what a VPS
 * takes of the node is the admin's to say, and so is its first installation. The caller holds the VPS's lock.
 *
 * @throws AgentError not_allowed
 */
export async function requireOwnShare(
  { caller, config, guests }: Pick<OperationContext, 'caller' | 'config' | 'guests'>,
  vps: VpsId,
  asked: Share,
): Promise<void> {
  if (caller.user === config.admin_user || config.owners_set_resources === 'yes') return;
  const file = await guests.read(vps);
  const share = file && shareOf(file.text);
  if (share && isSame(share, asked)) return;
  const has = share
    ? `${vps.name} has ${tell(share)}, and was to get ${tell(asked)}`
    : `what ${vps.name} has is not said by a configuration ${file ? 'that can be read' : 'yet'}`;
  throw new AgentError(
    'not_allowed',
    `Its owner may not set the memory and addresses of a VPS: ${has}. The admin can, or opens that to owners (owners_set_resources=yes).`,
  );
}
