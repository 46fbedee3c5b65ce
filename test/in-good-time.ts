/** No wait for ever: a test that hangs is killed with its file, and nobody is told what it waited for. */

/** Nothing takes longer unless it hangs, on a busy machine either. */
const usualMs = 60_000;

/** The promise, or a rejection that says what had to happen. */
export async function inGoodTime<T>(promise: Promise<T>, must: () => string, limitMs = usualMs): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`${must()}\nIt has not within ${limitMs / 1000}s.`)), limitMs);
  // It ends waits, and keeps nobody.
  timer.unref();
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
