exports.handler = async () => { console.log("hello"); return "done"; };
