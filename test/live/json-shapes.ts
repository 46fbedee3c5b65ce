/** The shapes of docs/json-output.md: reading them from the page, and comparing what was printed with them. */

export interface Documented {
  /** The words after `umbel`. */
  readonly words: readonly string[];
  readonly shape: unknown;
}

/** Every block ```json umbel WORDS of a page. */
export function documentedShapes(page: string): Documented[] {
  return [...page.matchAll(/^```json umbel ([^\n]+)\n(.*?)^```$/gms)].map(([, words = '', shape = '']) => ({
    words: words.split(' '),
    shape: JSON.parse(shape) as unknown,
  }));
}

type Fits = (value: unknown) => boolean;

const kinds: Readonly<Record<string, Fits>> = {
  text: (value) => typeof value === 'string',
  number: (value) => typeof value === 'number',
  integer: (value) => Number.isSafeInteger(value),
  boolean: (value) => typeof value === 'boolean',
  null: (value) => value === null,
  any: (value) => value !== null && value !== undefined,
};

/** What does not fit, with the place; none: it does. */
export function misfits(value: unknown, shape: unknown, place = '$'): string[] {
  if (typeof shape === 'string') {
    const fits = shape.split(' | ').map((kind) => kinds[kind]);
    if (fits.includes(undefined)) return [`${place}: no such kind: ${shape}`];
    return fits.some((fit) => fit?.(value)) ? [] : [`${place}: ${shape}, got ${JSON.stringify(value)}`];
  }
  if (Array.isArray(shape)) {
    if (!Array.isArray(value)) return [`${place}: a list, got ${JSON.stringify(value)}`];
    return value.flatMap((item, index) => misfits(item, shape[0], `${place}[${index}]`));
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [`${place}: an object, got ${JSON.stringify(value)}`];
  return misfitsOfObject(value as Record<string, unknown>, shape as Record<string, unknown>, place);
}

function misfitsOfObject(value: Record<string, unknown>, shape: Record<string, unknown>, place: string): string[] {
  const [others] = Object.entries(shape).flatMap(([key, kind]) => (key.startsWith('<') ? [kind] : []));
  const named = new Map(Object.entries(shape).filter(([key]) => !key.startsWith('<')));
  const problems: string[] = [];
  for (const [key, kind] of named) {
    const name = key.replace(/\?$/, '');
    if (Object.hasOwn(value, name)) problems.push(...misfits(value[name], kind, `${place}.${name}`));
    else if (name === key) problems.push(`${place}.${name}: is missing`);
  }
  for (const [key, item] of Object.entries(value)) {
    if (named.has(key) || named.has(`${key}?`)) continue;
    if (others === undefined) problems.push(`${place}.${key}: is not in the page`);
    else if (others !== 'any') problems.push(...misfits(item, others, `${place}.${key}`));
  }
  return problems;
}
