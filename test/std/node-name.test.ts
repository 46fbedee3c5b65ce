import { readFileSync } from 'node:fs';
import t from 'tap';
import { expandTemplate, NodeNameError, parseNodeName, splitNodeName } from '../../src/std/node-name.ts';

interface Vectors {
  readonly node_name_option: readonly { option_n: string | null; machine_hostname: string; result: string }[];
  readonly node_templates_main_process: readonly { template: string; node: string; result?: string; error?: string }[];
}

const vectors: Vectors = JSON.parse(readFileSync(new URL('../../../shared/vectors/misc.json', import.meta.url), 'utf8'));

t.test('-n as Celery reads it', async (t) => {
  t.ok(vectors.node_name_option.length >= 10);
  for (const { option_n, machine_hostname, result } of vectors.node_name_option) {
    t.equal(parseNodeName(option_n, machine_hostname), result, `-n ${option_n}`);
  }
});

t.test('templates as Celery expands them in the main process', async (t) => {
  t.ok(vectors.node_templates_main_process.length >= 11);
  for (const { template, node, result, error } of vectors.node_templates_main_process) {
    if (error === undefined) t.equal(expandTemplate(template, { nodeName: node, index: 0 }), result, template);
    else t.throws(() => expandTemplate(template, { nodeName: node, index: 0 }), { code: 'NAME_INVALID' }, template);
  }
});

t.test('a child has its index in the name', async (t) => {
  const at = (template: string, index: number): string => expandTemplate(template, { nodeName: 'worker1@example.com', index });
  t.same(
    [0, 1, 2].map((index) => at('%n%I.log', index)),
    ['worker1.log', 'worker1-1.log', 'worker1-2.log'],
  );
  t.equal(at('%i', 3), '3');
  t.equal(at('%p.%d', 1), 'worker1@example.com.com');
});

t.test('errors name the letter and the template', async (t) => {
  try {
    parseNodeName('a%p', 'host');
    t.fail('must throw');
  } catch (error) {
    t.ok(error instanceof NodeNameError);
    t.match(String(error), /%p in "celery@a%p"/);
  }
  t.throws(() => parseNodeName('two words', 'host'), { code: 'NAME_INVALID' });
  t.throws(() => expandTemplate('%é', { nodeName: 'a@b', index: 0 }), { code: 'NAME_INVALID' });
  t.throws(() => expandTemplate('%constructor', { nodeName: 'a@b', index: 0 }), { code: 'NAME_INVALID' });
});

t.test('a name is split at the first @', async (t) => {
  t.same(splitNodeName('a@b@c'), { name: 'a', host: 'b@c' });
  t.same(splitNodeName('host'), { name: '', host: 'host' });
  t.equal(
    expandTemplate('%n.%h', { nodeName: 'host.example.com', index: 0 }),
    'celery.host.example.com',
    'a bare host has the default name',
  );
});
