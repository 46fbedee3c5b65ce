/** Completion for bash, zsh and fish: commands, their words, their options and the values these can have. Text → text. */
import { globalOptions } from '../src/cli/global-options.ts';
import type { OptionSpec } from '../src/cli/option-spec.ts';
import { type CommandWords, takesFile, valueChoices } from './command-words.ts';

const note = '# Made from the command table of umbel by scripts/write-manuals.ts; do not edit.';

/** Options of the program before a command, as a command without a name. */
const before = { name: '', options: globalOptions };

export function bashCompletion(commands: readonly CommandWords[]): string {
  const names = commands.map(({ name }) => name);
  const valued = [...new Set(globalOptions.flatMap((spec) => (spec.argument === null ? [] : spec.names)))];
  return `${note}
_umbel() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command='' words='' options='' at
  # --name=value arrives as three words.
  if [[ $cur == = ]]; then cur=''; elif [[ $prev == = ]]; then prev=\${COMP_WORDS[COMP_CWORD-2]}; fi
  for ((at = 1; at < COMP_CWORD; at++)); do
    case \${COMP_WORDS[at]} in
      ${valued.join('|')}) [[ \${COMP_WORDS[at+1]} == = ]] && ((at++)); ((at++)) ;;
      -*|=) ;;
      *) command=\${COMP_WORDS[at]}; break ;;
    esac
  done
  case $command:$prev in
${[before, ...commands].map(bashValues).filter(Boolean).join('\n')}
  esac
  case $command in
    '') words='${names.join(' ')}' options='${optionNames(globalOptions)}' ;;
${commands.map(({ name, words, options }) => `    ${name}) words='${words.join(' ')}' options='${optionNames(options)}' ;;`).join('\n')}
  esac
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$cur"))
  else
    # The first argument alone is one of a list.
    if [[ -n $command ]] && ((at + 1 < COMP_CWORD)); then words=''; fi
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
    if [[ -z $words ]]; then COMPREPLY=($(compgen -f -- "$cur")); fi
  fi
}
complete -o filenames -o bashdefault -F _umbel umbel
`;
}

function bashValues({ name, options }: { readonly name: string; readonly options: readonly OptionSpec[] }): string {
  return options
    .filter((spec) => spec.argument !== null && spec.optional === undefined)
    .map((spec) => {
      const choices = valueChoices(spec);
      const reply = choices !== null ? `-W '${choices.join(' ')}'` : takesFile(spec) ? '-f' : null;
      const patterns = spec.names.map((option) => `${name}:${option}`).join('|');
      return `    ${patterns}) ${reply === null ? 'COMPREPLY=()' : `COMPREPLY=($(compgen ${reply} -- "$cur"))`}; return ;;`;
    })
    .join('\n');
}

function optionNames(specs: readonly OptionSpec[]): string {
  return specs.flatMap(({ names }) => names).join(' ');
}

export function zshCompletion(commands: readonly CommandWords[]): string {
  const own = commands.map(
    ({ name, words, options }) => `    (${name})
      _arguments -s -S \\
${options.map((spec) => `        ${zshOption(spec)}`).join(' \\\n')} \\
        '1:${words.length > 0 ? `word:(${words.join(' ')})` : 'argument:_files'}' '*:argument:_files'
      ;;`,
  );
  return `#compdef umbel
${note}
local curcontext=$curcontext state line
_arguments -s -S -C \\
${globalOptions.map((spec) => `  ${zshOption(spec)}`).join(' \\\n')} \\
  '1:command:((${commands.map(({ name, summary }) => `${name}\\:"${zshText(summary)}"`).join(' ')}))' \\
  '*::argument:->argument'
if [[ $state == argument ]]; then
  case $line[1] in
${own.join('\n')}
  esac
fi
`;
}

function zshOption(spec: OptionSpec): string {
  const choices = valueChoices(spec);
  const action = choices !== null ? `(${choices.join(' ')})` : takesFile(spec) ? '_files' : ' ';
  const value = spec.argument === null ? '' : `${spec.optional === undefined ? '' : ':'}:${zshText(spec.argument)}:${action}`;
  const suffix = (name: string): string => (spec.argument === null ? '' : name.startsWith('--') ? '=' : '+');
  const text = `[${zshText(spec.doc)}]${value}`;
  const exclusive = spec.repeatable ? '*' : `(${spec.names.join(' ')})`;
  return spec.names.map((name) => `'${exclusive}${name}${suffix(name)}${text}'`).join(' ');
}

/** Within single quotes and brackets. */
function zshText(text: string): string {
  return text.replaceAll("'", "'\\''").replaceAll(/[[\]:"]/g, '\\$&');
}

export function fishCompletion(commands: readonly CommandWords[]): string {
  const names = commands.map(({ name }) => name).join(' ');
  const none = `-n 'not __fish_seen_subcommand_from ${names}'`;
  return `${[
    note,
    'complete -c umbel -f',
    ...commands.map(({ name, summary }) => `complete -c umbel ${none} -a ${name} -d '${fishText(summary)}'`),
    ...globalOptions.map((spec) => `complete -c umbel ${none}${fishOption(spec)}`),
    ...commands.flatMap(({ name, words, options }) => {
      const here = `-n '__fish_seen_subcommand_from ${name}'`;
      return [
        ...(words.length === 0
          ? []
          : [
              `complete -c umbel -n '__fish_seen_subcommand_from ${name}; and not __fish_seen_subcommand_from ${words.join(' ')}' -a '${words.join(' ')}'`,
            ]),
        ...options.map((spec) => `complete -c umbel ${here}${fishOption(spec)}`),
      ];
    }),
  ].join('\n')}\n`;
}

function fishOption(spec: OptionSpec): string {
  const names = spec.names.map((name) => (name.startsWith('--') ? ` -l ${name.slice(2)}` : ` -s ${name.slice(1)}`)).join('');
  const choices = valueChoices(spec);
  const value = spec.argument === null ? '' : choices !== null ? ` -x -a '${choices.join(' ')}'` : takesFile(spec) ? ' -r -F' : ' -x';
  return `${names}${spec.optional === undefined ? value : ''} -d '${fishText(spec.doc)}'`;
}

function fishText(text: string): string {
  return text.replaceAll(/[\\']/g, '\\$&');
}
