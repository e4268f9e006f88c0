package auditsql
import ("testing";"os")
func TestPrint(t *testing.T){ for _,d:=range Dialects(){ s,err:=Statement(d,Table{Name:"kinetel"}); if err!=nil{t.Fatal(err)}; os.WriteFile("/tmp/asql/"+d+".sql",[]byte(s),0o644)} }
