/**
 * What a task gets when its soft time limit is over.
 *
 * Owns the error and how it is recognised behind what others throw because of it. Its text is empty, as Celery's is.
 */

export class SoftTimeLimitExceeded extends Error {
  override readonly name: string = 'SoftTimeLimitExceeded';
  /** null: made by hand, in a test. */
  readonly limitSeconds: number | null;

  constructor(limitSeconds: number | null = null) {
    super();
    this.limitSeconds = limitSeconds;
  }
}

/** Much of Node says that it was aborted with an error of its own, and keeps the reason as its cause: then that is what the task died of. */
export function behindAbort(thrown: unknown): unknown {
  try {
    const isAbort = thrown instanceof Error && thrown.name === 'AbortError';
    return isAbort && thrown.cause instanceof SoftTimeLimitExceeded ? thrown.cause : thrown;
  } catch {
    // A proxy that throws when looked at.
    return thrown;
  }
}
