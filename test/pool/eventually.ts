/**
 * For what nobody tells anybody: look until it is so. Fails with the text when it has not become so in good time.
 */
import type { Test } from 'tap';

const giveUpMs = 30_000;
const lookAgainMs = 5;

/** The first value that is neither false nor undefined. */
export async function eventually<T>(
  t: Test,
  what: string,
  look: () => T | Promise<T>,
  limitMs = giveUpMs,
): Promise<Exclude<T, false | undefined>> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const value = await look();
    if (value !== false && value !== undefined) return value as Exclude<T, false | undefined>;
    if (performance.now() > deadline) {
      t.fail(`it never became so: ${what}`);
      throw new Error(what);
    }
    await new Promise((resolve) => setTimeout(resolve, lookAgainMs));
  }
}
