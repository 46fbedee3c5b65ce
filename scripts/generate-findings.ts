/** Writes docs/findings.md from the table in src/doctor/finding-table.ts; with --check only says whether the page is current (exit 1 if not). */
import { type Topic, topics } from '../src/doctor/finding-entry.ts';
import { findingTable } from '../src/doctor/finding-table.ts';
import { writeGenerated } from './generated-file.ts';

const sections = (Object.keys(topics) as Topic[]).map((topic) => {
  const entries = Object.entries(findingTable).filter(([, entry]) => entry.topic === topic);
  const shown = entries.map(([code, { severity, sentence, fix }]) => `### ${code}\n\n*${severity}.* ${sentence}\n\n**Fix:** ${fix}`);
  return [`## ${topics[topic]}`, ...shown].join('\n\n');
});

await writeGenerated(
  'docs/findings.md',
  `# Findings of \`umbel check\` and \`umbel doctor\`

Generated from \`src/doctor/finding-table.ts\` by \`make docs\`; do not edit.

\`umbel check\` looks at configuration, modules, folders and rights without asking a server; \`umbel doctor\` asks the servers and looks at the
machine. Each finding has a code that does not change, the rule with the actual values, its place, and what to do:

\`\`\`text
error REDIS_EVICTION: maxmemory-policy must be noeviction, got allkeys-lru with maxmemory 0 (redis://127.0.0.1:6379/0) (umbel.toml:2)
  CONFIG SET maxmemory-policy noeviction, and the same in redis.conf.
\`\`\`

An **error** keeps a worker from starting, or loses work. With a **warning** it works, until something happens. The exit status is 0 when nothing
was found, 1 when there are warnings only, 2 when there is an error; \`--errors\` leaves warnings out of both. \`--json\` prints one object a line:
\`code\`, \`severity\`, \`text\`, \`place\`, \`nodes\`, \`sentence\`, \`fix\`.

${sections.join('\n\n')}
`,
);
