/**
 * Writes docs/signals.md from the signal table in src/os/signal-table.ts; with --check only says whether the page is current
 * (exit 1 if not).
 */
import { childSignals, type SignalEntry, type SignalMeaning, signalTable, stopEffects } from '../src/os/signal-table.ts';
import { writeGenerated } from './generated-file.ts';

/** Each meaning in two or three words, for the overview. */
const meaningWords: Readonly<Record<SignalMeaning, string>> = {
  warm: 'warm stop',
  cold: 'cold stop',
  hard: 'hard stop',
  restart: 'restart in place',
  dump: 'dump stacks',
  inspect: 'inspector',
  grow: 'one child more',
  shrink: 'one child less',
  quiet: 'quiet',
  resume: 'resume',
};

function shortName(signal: string): string {
  return signal.replace(/^SIG/, '');
}

function stepsOf(entry: SignalEntry): string {
  return entry.steps.map(({ meaning }) => meaningWords[meaning]).join(', then ');
}

function exitOf(entry: SignalEntry): string {
  const statuses = [...new Set(entry.steps.map(({ exitStatus }) => (exitStatus === null ? 'goes on' : String(exitStatus))))];
  return statuses.join(', ');
}

const entries = Object.entries(signalTable);
const overview = entries.map(([signal, entry]) => `| \`${shortName(signal)}\` | ${stepsOf(entry)} | ${exitOf(entry)} | ${entry.summary} |`);
const effects = stopEffects.map(
  ({ how, running, reserved, scheduled }) => `| ${how} | ${running.early} | ${running.late} | ${reserved} | ${scheduled} |`,
);
const sections = entries.map(
  ([signal, entry]) => `### ${shortName(signal)}: ${stepsOf(entry)}\n\n${entry.detail}\n\n\`\`\`sh\n${entry.example}\n\`\`\``,
);
const names = (signals: readonly string[]): string => signals.map((signal) => `\`${shortName(signal)}\``).join(', ');

await writeGenerated(
  'docs/signals.md',
  `# Signals

Generated from \`src/os/signal-table.ts\` by \`make docs\`; do not edit.

Send signals to the parent, whose pid is in the pid file (\`umbel worker --pidfile worker.pid\`). It decides for its children; a
signal that reaches the whole process group, such as Ctrl-C, is handled by the parent alone. All of this holds for a worker that
runs as PID 1 in a container, too.

## Overview

| signal | means | exit status | |
| --- | --- | --- | --- |
${overview.join('\n')}

Any other signal has its usual effect; \`KILL\` cannot be handled and is a hard stop (below) of the whole worker: the kernel ends the
children with their parent.

## What a stop does to tasks

*Early ack* is the default: a message is acknowledged when a child accepts the task. *Late ack* (\`acks_late\`) acknowledges it
when the task has ended. *Reserved* tasks are in the worker and wait for a child; *scheduled* ones wait for their ETA.

| stop | running, early ack | running, late ack | reserved | scheduled |
| --- | --- | --- | --- | --- |
${effects.join('\n')}

The ways to stop are steps of one another: warm becomes cold after \`worker.shutdown_timeout\`, cold waits for the soft window first
when \`worker.soft_shutdown_timeout\` is above 0, and a repeated \`INT\` or \`QUIT\` goes one step further. No stop loses a message that
was not acknowledged.

A stop by \`TERM\` ends with status 0, one by \`INT\` or \`QUIT\` with 1, as Celery's does. Statuses for other ends are in
[errors.md](errors.md).

## Each signal

${sections.join('\n\n')}

## Pool children

Leave the children alone and send signals to the parent. For the curious:

* ignored, because they are meant for the parent: ${names(childSignals.ignored)}
* end the child, and fail the tasks it runs as the death of a child does: ${names(childSignals.ends)}
* opens the child's inspector, for the parent's dump: ${names(childSignals.inspector)}
`,
);
