/** How a value stands in the file: plain where a shell and the agent read it so, else between quotes. */
function quoted(value: string): string {
  if (/[\0\n\r]/.test(value)) throw new RangeError('a value has a line end in it');
  if (/^[A-Za-z0-9_./:,+@%=-]*$/.test(value)) return value;
  if (!value.includes("'")) return `'${value}'`;
  return `"${value.replace(/["\\$`]/g, '\\$&')}"`;
}

/** A line that sets this key, or (`#KEY=value`) shows how it would be set. */
const settingOf = (key: string, off: string) => new RegExp(`^\\s*${off}\\s*(?:export\\s+)?${key}=`);

/**
 * Sets keys in the text of a configuration file and leaves every other line as it is: the last line that sets a key is
 * replaced, else the commented default, else the key is added at the end. A value holds no line end.
 *
 * @throws RangeError
 */
export function setKeys(text: string, values: ReadonlyMap<string, string>): string {
  const lines = text === '' ? [] : text.replace(/\n$/, '').split('\n');
  for (const [key, value] of values) {
    const line = `${key}=${quoted(value)}`;
    const set = lines.findLastIndex((there) => settingOf(key, '').test(there));
    const shown = lines.findIndex((there) => settingOf(key, '#').test(there));
    const at = set === -1 ? shown : set;
    if (at === -1) lines.push(line);
    else lines[at] = line;
  }
  return `${lines.join('\n')}\n`;
}
