// A handler for `kinetel run --runtime nodejs --handler app.handler -- examples/nodejs`.
export const handler = async (event) => {
  console.log(JSON.stringify({ level: "INFO", message: "an event", keys: Object.keys(event ?? {}) }));
  return { hello: event?.name ?? "world" };
};
