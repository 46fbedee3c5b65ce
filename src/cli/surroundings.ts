/** What a command line runs in: the process's own, or a test's. */

/** The little of a stream that is used here. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  /** Why it takes nothing more. */
  readonly errored?: Error | null;
}

export interface Surroundings {
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  /** Absent: there is nothing to read. */
  readonly stdin?: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly stdout: Output;
  readonly stderr: Output;
}
