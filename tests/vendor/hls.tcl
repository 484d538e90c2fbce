# Vitis HLS: part of vendor.tcl.
if {[fake TOOL vivado] ne "hls"} {
    return
}
array set hls {top "" part "" clock "" synthesized 0 tb 0}

proc open_project {args} {
    parse open_project $args
    set ::hls(project) [lindex $others 0]
    file mkdir $::hls(project)
}
proc set_top {args} {
    parse set_top $args
    set ::hls(top) [lindex $others 0]
}
proc add_files {args} {
    parse add_files $args
    foreach file [lindex $others 0] {
        if {![file isfile $file]} {
            refuse "\[HLS 200-70\] Cannot find design file '$file'"
        }
    }
    if {[info exists given(-cflags)] && [regexp {\s-I} $given(-cflags)] && ![info exists given(-tb)]} {
        refuse "a folder's name in the flags of a source"
    }
}
proc open_solution {args} {
    parse open_solution $args
    if {$given(-flow_target) ne "vivado"} {
        refuse "\[HLS 200-101\] flow_target"
    }
}
proc set_part {args} {
    parse set_part $args
    if {[failing part]} {
        refuse "\[HLS 200-1023\] Part '[lindex $others 0]' is not installed."
    }
    set ::hls(part) [lindex $others 0]
}
proc create_clock {args} {
    parse create_clock $args
    set ::hls(clock) $given(-period)
}
proc set_clock_uncertainty {args} {
    parse set_clock_uncertainty $args
    if {$::hls(clock) eq "" || ![regexp {^[0-9.]+%?$} [lindex $others 0]]} {
        refuse "\[HLS 200-101\] set_clock_uncertainty: a number of ns or a percentage, of a clock that exists"
    }
}
proc config_rtl {args} {
    parse config_rtl $args
}
proc csim_design {args} {
    parse csim_design $args
}
proc cosim_design {args} {
    parse cosim_design $args
}
proc csynth_design {args} {
    parse csynth_design $args
    foreach name {top part clock} {
        if {$::hls($name) eq ""} {
            refuse "\[HLS 200-101\] csynth_design without $name"
        }
    }
    puts "INFO: \[HLS 200-10\] Analyzing design file 'src/squeeze_engine.cpp' ..."
    puts "INFO: \[HLS 200-42\] -- Implementing module 'engine' "
    if {[failing hls]} {
        refuse "\[HLS 207-2323\] use of undeclared identifier 'ap_unit' (src/squeeze_engine.cpp:1:1)"
    }
    set folder $::hls(project)/solution/syn/report
    file mkdir $folder
    set file [open $folder/squeeze_engine_csynth.xml w]
    puts $file {<?xml version="1.0"?>
<profile>
  <UserAssignments><Part>xc7z020-clg400-1</Part><TargetClockPeriod>10.00</TargetClockPeriod></UserAssignments>
  <PerformanceEstimates>
    <SummaryOfTimingAnalysis><unit>ns</unit><EstimatedClockPeriod>7.300</EstimatedClockPeriod></SummaryOfTimingAnalysis>
  </PerformanceEstimates>
  <AreaEstimates>
    <Resources><BRAM_18K>261</BRAM_18K><DSP>203</DSP><FF>24001</FF><LUT>31002</LUT><URAM>0</URAM></Resources>
    <AvailableResources><BRAM_18K>280</BRAM_18K><DSP>220</DSP><FF>106400</FF><LUT>53200</LUT></AvailableResources>
  </AreaEstimates>
</profile>}
    close $file
    set ::hls(synthesized) 1
}
proc export_design {args} {
    parse export_design $args
    if {!$::hls(synthesized)} {
        refuse "\[HLS 200-101\] export_design without csynth_design"
    }
    if {"$given(-vendor):$given(-library):$given(-ipname):$given(-version)" ne "squeeze-hls:hls:squeeze_engine:1.0"} {
        refuse "the block design looks for another core"
    }
    set folder $::hls(project)/solution/impl/ip
    file mkdir $folder
    close [open $folder/component.xml w]
}
