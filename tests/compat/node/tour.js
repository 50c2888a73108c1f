// The original's SDK for Node, unmodified, does what an application does; prints a line of JSON for each step.
// Where it has to wait for what the test does meanwhile, it reads a line from its standard input.
const { memphis } = require("memphis-dev");
const readline = require("readline");

const port = Number(process.argv[2]);
const name = process.argv[3];
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const tell = (step, value) => console.log(JSON.stringify({ step, value }));
const data = (messages) => messages.map((message) => message.getData().toString());

async function main() {
  const connection = await memphis.connect({
    host: "127.0.0.1", port, username: "root", password: "memphis", accountId: 1,
  });
  const station = await connection.station({ name, schemaName: "", partitionsNumber: 1 });
  const producer = await connection.producer({ stationName: name, producerName: "p" });
  for (const [body, msgId] of [["a", "1"], ["again", "1"], ["b", "2"]]) {
    const headers = memphis.headers();
    headers.add("key", "value");
    await producer.produce({ message: Buffer.from(body), headers, msgId, asyncProduce: false });
  }
  const consumer = await connection.consumer({
    stationName: name, consumerName: "c", consumerGroup: "g.1", maxMsgDeliveries: 2,
  });
  const messages = await consumer.fetch({ batchSize: 10 });
  tell("fetched", data(messages));
  tell("headers", messages[0].getHeaders());
  messages[0].ack();
  await messages[1].deadLetter("node says no");
  tell("dead letter", null);
  await lines.next();
  const again = await consumer.fetch({ batchSize: 10 });
  tell("given back", data(again));
  again.forEach((message) => message.ack());
  await connection.enforceSchema({ name: process.argv[4], stationName: name });
  const checked = await connection.producer({ stationName: name, producerName: "checked" });
  await checked.produce({ message: { id: 1 }, asyncProduce: false });
  try {
    await checked.produce({ message: { id: "one" }, asyncProduce: false });
    tell("schema", "nothing was refused");
  } catch (error) {
    tell("schema", "refused");
  }
  await consumer.destroy();
  await producer.destroy();
  tell("destroyed", null);
  await lines.next();
  await station.destroy();
  await connection.close();
  tell("closed", null);
}

main().then(() => process.exit(0), (error) => {
  tell("failed", String(error && error.stack));
  process.exit(1);
});
