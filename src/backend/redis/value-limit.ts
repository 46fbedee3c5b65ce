/** The longest text that Redis takes: one that is longer would cost the connection, again and again. */
import { UmbelError } from '../../errors.ts';

const longestValueBytes = 512 * 1024 * 1024;

/** Throws RESULT_TOO_LARGE. */
export function refuseTooLarge(text: string, taskId: string): void {
  // A character is at most three bytes.
  if (text.length * 3 <= longestValueBytes) return;
  const bytes = Buffer.byteLength(text);
  if (bytes > longestValueBytes) {
    throw new UmbelError(
      'RESULT_TOO_LARGE',
      `a result in Redis must not be larger than ${longestValueBytes} bytes, got ${bytes} (task ${taskId})`,
    );
  }
}
