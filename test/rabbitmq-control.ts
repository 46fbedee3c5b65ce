/**
 * What an operator does to a RabbitMQ server, without rabbitmqctl: that starts an Erlang machine for each command and takes about a second.
 * Here the server's own machine listens on a socket in its folder, evaluates what it is sent and answers, for as long as it lives.
 *
 * Owns nothing: the socket is the server's. Whoever can reach the folder may do anything to the server, and it is the test's alone.
 */
import { connect } from 'node:net';
import { inGoodTime } from './in-good-time.ts';

export type Listed = 'queues' | 'exchanges' | 'bindings' | 'connections' | 'consumers';

/** Read by the server's machine when it has started: each request is Erlang, each answer begins with + or -. */
export const controlScript = (socketPath: string): string => `
Evaluate = fun(Request) ->
  try
    {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(Request)),
    {ok, Expressions} = erl_parse:parse_exprs(Tokens),
    {value, Value, _} = erl_eval:exprs(Expressions, []),
    case is_binary(Value) of true -> [$+, Value]; false -> [$+, io_lib:format("~0tp", [Value])] end
  catch Class:Reason -> [$-, io_lib:format("~0tp ~0tp", [Class, Reason])] end
end,
Serve = fun Serve(Socket) ->
  case gen_tcp:recv(Socket, 0) of
    {ok, Request} -> gen_tcp:send(Socket, unicode:characters_to_binary(Evaluate(Request))), Serve(Socket);
    {error, _} -> gen_tcp:close(Socket)
  end
end,
Accept = fun Accept(Listener) ->
  {ok, Socket} = gen_tcp:accept(Listener),
  spawn(fun() -> Serve(Socket) end),
  Accept(Listener)
end,
spawn(fun() ->
  file:delete(${text(socketPath)}),
  {ok, Listener} = gen_tcp:listen(0, [binary, {packet, 4}, {active, false}, {ifaddr, {local, ${text(socketPath)}}}]),
  io:format("control: listening~n"),
  Accept(Listener)
end).
`;

export const controlReady = 'control: listening';

/** Rows as rabbitmqctl lists them. */
const sources: Readonly<Record<Listed, (vhost: string, items: string) => string>> = {
  queues: (vhost, items) => `rabbit_amqqueue:info_all(${vhost}, ${items})`,
  exchanges: (vhost, items) => `rabbit_exchange:info_all(${vhost}, ${items})`,
  bindings: (vhost, items) => `rabbit_binding:info_all(${vhost}, ${items})`,
  consumers: (vhost, items) => `[[lists:keyfind(Item, 1, Row) || Item <- ${items}] || Row <- rabbit_amqqueue:consumers_all(${vhost})]`,
  connections: (vhost, items) =>
    `[lists:droplast(Row) || Row <- rabbit_networking:connection_info_all(${items} ++ [vhost]), lists:last(Row) =:= {vhost, ${vhost}}]`,
};

export class RabbitmqControl {
  readonly #socketPath: string;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /** Erlang, evaluated in the server: what it came to, as text. Throws what it throws. */
  evaluate(erlang: string): Promise<string> {
    const request = Buffer.from(`${erlang.trimEnd().replace(/\.$/, '')}.`);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(request.length);
    const answered = new Promise<string>((resolve, reject) => {
      let answer = Buffer.alloc(0);
      const socket = connect(this.#socketPath, () => socket.write(Buffer.concat([length, request])));
      socket.once('error', reject);
      socket.once('close', () => reject(new Error(`the server ended the connection instead of evaluating ${erlang}`)));
      socket.on('data', (chunk: Buffer) => {
        answer = Buffer.concat([answer, chunk]);
        if (answer.length < 4 || answer.length < 4 + answer.readUInt32BE(0)) return;
        socket.destroy();
        const said = answer.subarray(5).toString();
        if (answer[4] === '+'.charCodeAt(0)) resolve(said);
        else reject(new Error(`${said} came of ${erlang}`));
      });
    });
    return inGoodTime(answered, () => `the server must evaluate ${erlang}`);
  }

  /** A line for each, its items between tabs; terms as Erlang writes them. */
  list(what: Listed, items: readonly string[], vhost = '/'): Promise<string> {
    const rows = sources[what](binary(vhost), `[${items.join(', ')}]`);
    return this.evaluate(`
      Show = fun({resource, _, _, Name}) -> Name; (Text) when is_binary(Text) -> Text; (Term) -> io_lib:format("~0tp", [Term]) end,
      unicode:characters_to_binary(lists:join("\\n", [lists:join("\\t", [Show(Value) || {_, Value} <- Row]) || Row <- ${rows}]))`);
  }

  /** With every right for guest. */
  async addVhost(name: string): Promise<void> {
    await this.#done(`rabbit_vhost:add(${binary(name)}, <<"test">>)`);
    await this.allow('guest', name);
  }

  async deleteVhost(name: string): Promise<void> {
    await this.#done(`rabbit_vhost:delete(${binary(name)}, <<"test">>)`);
  }

  async addUser(name: string, password: string): Promise<void> {
    await this.#done(`rabbit_auth_backend_internal:add_user(${binary(name)}, ${binary(password)}, <<"test">>)`);
  }

  async setPassword(name: string, password: string): Promise<void> {
    await this.#done(`rabbit_auth_backend_internal:change_password(${binary(name)}, ${binary(password)}, <<"test">>)`);
  }

  /** To write everything there, to declare what `configure` fits and to read what `read` does. */
  async allow(user: string, vhost = '/', configure = '.*', read = '.*'): Promise<void> {
    const rights = `${binary(configure)}, <<".*">>, ${binary(read)}`;
    await this.#done(`rabbit_auth_backend_internal:set_permissions(${binary(user)}, ${binary(vhost)}, ${rights}, <<"test">>)`);
  }

  async closeAllConnections(reason: string): Promise<void> {
    // One that ends by itself meanwhile would end the server's own call for all of them, and leave the others open.
    const close = `try rabbit_networking:close_connection(Pid, ${text(reason)}) catch exit:_ -> ok end`;
    await this.#done(`lists:foreach(fun(Pid) -> ${close} end, rabbit_networking:connections())`);
  }

  /** Those to publish over. */
  async closePublishingConnections(reason: string): Promise<void> {
    const close = `try rabbit_networking:close_connection(Pid, ${text(reason)}) catch exit:_ -> ok end`;
    const named = `[{client_properties, Properties}] = rabbit_networking:connection_info(Pid, [client_properties]),
      case lists:keyfind(<<"connection_name">>, 1, Properties) of
        {_, longstr, Name} -> case binary:match(Name, <<"(publishing)">>) of nomatch -> ok; _ -> ${close} end;
        _ -> ok
      end`;
    await this.#done(`lists:foreach(fun(Pid) -> ${named} end, rabbit_networking:connections())`);
  }

  /** Bytes, or a fraction of what there is. */
  async setMemoryLimit(limit: { readonly bytes: number } | { readonly fraction: number }): Promise<void> {
    const value = 'bytes' in limit ? `{absolute, ${limit.bytes}}` : String(limit.fraction);
    await this.#done(`vm_memory_monitor:set_vm_memory_high_watermark(${value})`);
  }

  /** The broker without its machine, as for maintenance. */
  async stopApp(): Promise<void> {
    await this.#done('rabbit:stop()');
  }

  async startApp(): Promise<void> {
    await this.#done('rabbit:start()');
  }

  async #done(erlang: string): Promise<void> {
    const said = await this.evaluate(erlang);
    if (said !== 'ok') throw new Error(`${said} came of ${erlang}`);
  }
}

function text(value: string): string {
  return JSON.stringify(value);
}

/** What RabbitMQ calls a name. */
export function binary(value: string): string {
  return `<<${text(value)}/utf8>>`;
}
