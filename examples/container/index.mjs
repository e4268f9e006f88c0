// A function to try the image with.
export const handler = async (event) => {
  console.log(JSON.stringify({ level: "INFO", message: "hello from a container image", keys: Object.keys(event ?? {}) }));
  return { ok: true };
};
