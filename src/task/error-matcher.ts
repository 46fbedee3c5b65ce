/** Which errors are meant: classes of them, or names. Pure. */

/** A class of errors, or the name of one. */
export type ErrorMatcher = string | (abstract new (...args: never[]) => unknown);

/** One of them fits: the class, the name, or either of something it is derived from. */
export function matchesError(thrown: unknown, matchers: readonly ErrorMatcher[]): boolean {
  return matchers.some((matcher) => (typeof matcher === 'string' ? isNamed(thrown, matcher) : thrown instanceof matcher));
}

function isNamed(thrown: unknown, name: string): boolean {
  if (!(thrown instanceof Error)) return false;
  if (thrown.name === name) return true;
  for (
    let kind: unknown = Object.getPrototypeOf(thrown);
    kind instanceof Error || kind === Error.prototype;
    kind = Object.getPrototypeOf(kind)
  )
    if ((kind as Error).constructor.name === name) return true;
  return false;
}
