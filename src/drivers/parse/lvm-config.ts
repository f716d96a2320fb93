/** Reads what lvmconfig(8) prints of single settings, a line `KEY=VALUE` each: the key without its section -> the value as it stands. */
export function parseLvmConfig(text: string): ReadonlyMap<string, string> {
  return new Map(
    text.split('\n').flatMap((line): [string, string][] => {
      const at = line.indexOf('=');
      return at < 0 ? [] : [[line.slice(0, at).trim(), line.slice(at + 1).trim()]];
    }),
  );
}

/** The strings of a value: one of `["a","b"]`, or of `"a"`; none where it is neither. */
export function stringsOf(value: string): string[] {
  try {
    const parsed: unknown = JSON.parse(value);
    return [parsed].flat().filter((one) => typeof one === 'string');
  } catch {
    return [];
  }
}
