/** The list of commands, in the order `umbel help` shows them. Each file is loaded only when its command is asked for. */
import type { CommandEntry } from './command.ts';

export const commands: readonly CommandEntry[] = [
  { name: 'worker', summary: 'Run tasks', load: () => import('./worker.ts') },
  { name: 'multi', summary: 'Start, stop and restart workers in the background', load: () => import('./multi.ts') },
  { name: 'call', summary: 'Send a task, and wait for its result', load: () => import('./call.ts') },
  { name: 'result', summary: 'Print the result of a task', load: () => import('./result.ts') },
  { name: 'list', summary: 'Show the queues and bindings of the broker', load: () => import('./list.ts') },
  { name: 'amqp', summary: 'Operate the broker by hand', load: () => import('./amqp.ts') },
  { name: 'purge', summary: 'Remove the messages of queues', load: () => import('./purge.ts') },
  { name: 'migrate', summary: 'Move the messages of queues to another broker', load: () => import('./migrate.ts') },
  { name: 'dead', summary: 'Show, send back or remove messages that were put aside', load: () => import('./dead.ts') },
  { name: 'status', summary: 'Show which workers are there', load: () => import('./status.ts') },
  { name: 'inspect', summary: 'Look at workers', load: () => import('./inspect.ts') },
  { name: 'control', summary: 'Tell workers what to do', load: () => import('./control.ts') },
  { name: 'ctl', summary: 'Ask a worker of this machine, also when the broker is away', load: () => import('./ctl.ts') },
  { name: 'events', summary: 'Listen to what workers and tasks do', load: () => import('./events.ts') },
  {
    name: 'check',
    summary: 'Find what would keep a worker from working: configuration, modules, folders',
    load: () => import('./check.ts'),
  },
  { name: 'doctor', summary: 'Find what is wrong with servers and machine', load: () => import('./doctor.ts') },
  { name: 'shell', summary: 'JavaScript with the application and its tasks at hand', load: () => import('./shell.ts') },
  { name: 'report', summary: 'Print what a report of a problem should tell', load: () => import('./report.ts') },
  { name: 'config', summary: 'Check or show the configuration, print an example', load: () => import('./config.ts') },
  { name: 'help', summary: 'Explain a command', load: () => import('./help.ts') },
];
