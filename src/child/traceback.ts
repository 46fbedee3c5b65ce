/**
 * The text kept as a failure's traceback: the stack of what was thrown and of its causes, without the frames of this program.
 */

/** Frames of the runtime and of this program say nothing about the task. */
const foreignFrame = /\((?:node:|umbel:)|at node:|\/src\/(?:child|task|ipc)\/[a-z-]+\.ts|\(?[^ (]*umbel\.cjs:/;
const maxCauses = 8;

export function tracebackOf(thrown: unknown): string {
  const parts: string[] = [];
  let current = thrown;
  for (let depth = 0; depth < maxCauses && current !== undefined; depth += 1) {
    parts.push(depth === 0 ? stackOf(current) : `Caused by: ${stackOf(current)}`);
    current = current instanceof Error ? current.cause : undefined;
  }
  return `${parts.join('\n')}\n`;
}

function stackOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return `Thrown: ${String(thrown)}`;
  const stack = typeof thrown.stack === 'string' ? thrown.stack : `${thrown.name}: ${thrown.message}`;
  return stack
    .split('\n')
    .filter((line) => !(/^\s+at /.test(line) && foreignFrame.test(line)))
    .join('\n');
}
