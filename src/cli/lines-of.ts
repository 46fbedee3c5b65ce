/** Lines of an input: as they come, or at a terminal after a prompt, with a history and completion of the first word. */
import { createInterface } from 'node:readline';
import type { ShellLines } from './command.ts';
import type { Surroundings } from './surroundings.ts';

export async function* linesOf(input: Surroundings['stdin'], shell?: ShellLines): AsyncGenerator<string> {
  if (input === undefined) return;
  const isShell = shell !== undefined && input.isTTY === true;
  const reader = isShell
    ? createInterface({ input, output: process.stderr, prompt: shell.prompt, completer: (line: string) => completed(line, shell.words) })
    : createInterface({ input });
  try {
    if (isShell) reader.prompt();
    for await (const line of reader) {
      yield line;
      if (isShell) reader.prompt();
    }
  } finally {
    reader.close();
  }
}

function completed(line: string, words: readonly string[]): [string[], string] {
  return [words.filter((word) => word.startsWith(line)).map((word) => `${word} `), line];
}
