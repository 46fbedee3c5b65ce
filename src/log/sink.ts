/**
 * Where log text goes. One sink, one destination; `write` takes whole lines ending in a newline.
 *
 * A sink never throws after it was opened and never makes its caller wait: what cannot be written is counted, and said once
 * writing works again.
 */
export interface LogSink {
  write(lines: string): void;
  /** Everything written so far is handed to the operating system, as far as it takes it. */
  flushSync(): void;
  /** Open the destination again, for a file that was moved away. Nothing to do for a stream. */
  reopen(): void;
  /** Flush and let go. Safe to call twice. */
  close(): void;
  /** Is a person looking? Decides about colours. */
  readonly isTerminal: boolean;
}
