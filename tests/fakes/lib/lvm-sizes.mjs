// Sizes as LVM reads and writes them.
import { LvmError } from './lvm-volumes.mjs';

const POWER = { b: 0, s: 0, k: 1, m: 2, g: 3, t: 4, p: 5, e: 6 };
const NAMES = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

/** `-L` argument -> bytes; without a unit it is MiB. */
export function parseSize(text) {
  const [, number, unit] = /^([0-9]+(?:\.[0-9]+)?)([bskmgtpe]?)b?$/i.exec(text) ?? [];
  if (!number)
    throw new LvmError(`Invalid argument for --size: ${text}\nError during parsing of command line.`, 3);
  const letter = (unit || 'm').toLowerCase();
  return Math.round(Number(number) * (letter === 's' ? 512 : 1024 ** POWER[letter]));
}

const power = (bytes) => Math.min(6, Math.floor(Math.log2(Math.max(bytes, 1)) / 10));

/** `64.00 MiB`, as messages have it; `<` where it was rounded up. */
export function longSize(bytes) {
  const exponent = power(bytes);
  if (exponent === 0) return `${bytes} B`;
  const text = (bytes / 1024 ** exponent).toFixed(2);
  return `${Number(text) * 1024 ** exponent > bytes ? '<' : ''}${text} ${NAMES[exponent]}`;
}

/** A size in a report, under `--units`: `r` (the default) is `h` with a `<` where it was rounded up. */
export function reportSize(bytes, units, suffix) {
  if (units === 'b') return suffix ? `${bytes}B` : String(bytes);
  if (units === 's') return suffix ? `${bytes / 512}S` : String(bytes / 512);
  const human = units === 'r' || units === 'h';
  const exponent = human ? power(bytes) : POWER[units];
  const exact = bytes / 1024 ** exponent;
  const text = exact.toFixed(2);
  const less = units === 'r' && Number(text) > exact ? '<' : '';
  return `${less}${text}${suffix ? 'bkmgtpe'[exponent] : ''}`;
}
