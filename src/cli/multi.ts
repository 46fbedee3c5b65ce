/**
 * `umbel multi`: start, stop and restart workers in the background. The grammar of its words is its own (multi/), so they are not read
 * here; only where the configuration is, and which program the nodes are.
 */
import { hostname } from 'node:os';
import type { Config } from '../config/config.ts';
import { loadConfig, workingFolder } from '../config/load-config.ts';
import { settingsWithFlagOn } from '../config/settings-table.ts';
import { defaultFiles } from '../multi/default-files.ts';
import { runMulti } from '../multi/multi-tool.ts';
import { multiHelp } from '../multi/usage.ts';
import { programCall } from '../os/reexec.ts';
import { version } from '../std/version.ts';
import type { Command } from './command.ts';
import { detachOption } from './detach.ts';
import { globalOptions } from './global-options.ts';
import { multiOptions } from './multi-options.ts';
import { settingOption } from './option-spec.ts';

const known = [...multiOptions, detachOption, ...settingsWithFlagOn('worker').map(settingOption), ...globalOptions].map(
  ({ names, argument }) => ({
    names,
    takesValue: argument !== null,
  }),
);

export const command: Command = {
  arguments: ['[...words]'],
  help: multiHelp,
  options: multiOptions,
  settings: settingsWithFlagOn('worker'),
  async run() {
    throw new Error('multi reads its words itself');
  },
  async runWords(words, { env, cwd, stdout, stderr }) {
    const configFor = (nodeName: string | null): Config =>
      loadConfig({
        flags: {
          ...(nodeName === null ? {} : { worker_hostname: nodeName }),
          ...flag('worker_workdir', lastValue(words, '--workdir')),
        },
        env,
        cwd,
        file: lastValue(words, '--config'),
      });
    const { file: executable, args: script } = programCall();
    return runMulti({
      words,
      stdout,
      stderr,
      color: stdout.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb',
      version: version(),
      hostname: hostname(),
      program: { executable, script },
      known,
      declared: () => Object.keys(configFor(null).settings.worker_nodes),
      env,
      folder: (workdir) => workingFolder(workdir === null ? {} : { worker_workdir: workdir }, env, cwd),
      owner: ({ name, options }) => {
        const { worker_uid: user, worker_gid: group } = configFor(name).settings;
        return { user: options.get('--uid') ?? user, group: options.get('--gid') ?? group };
      },
      files: (nodeName) => {
        const { worker_pidfile: pidfile, worker_logfile: logfile } = configFor(nodeName).settings;
        return { pidfile: pidfile ?? defaultFiles.pidfile, logfile: logfile ?? defaultFiles.logfile };
      },
    });
  },
};

function flag(name: 'worker_workdir', value: string | undefined): Readonly<Record<string, string>> {
  return value === undefined ? {} : { [name]: value };
}

/** The value of a long option among words that are not read yet; multi knows only the form with `=`. */
function lastValue(words: readonly string[], option: string): string | undefined {
  return words.findLast((word) => word.startsWith(`${option}=`))?.slice(option.length + 1);
}
